"""The ranks of a run, each a process of its own; the test is the daemon of rank 0."""

import multiprocessing
import os
import struct
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

from rheostat.runs.messages import (
    Decided,
    Failed,
    Finished,
    Message,
    Telemetry,
    ToTrainer,
    Unacknowledged,
)
from rheostat.runs.starting import SPEC_FILE, StartOrder
from rheostat.spec.models import Spec
from rheostat.steering.records import Decision
from rheostat.trainer.distributed.environment import LOCAL_RANK_VARIABLE, STORE_VARIABLE

PATIENCE_SECONDS = 60.0
KILLED = -9
"""What stands for the exit code of a rank that was killed."""
Commands = Mapping[int, Iterable[ToTrainer]]
"""What the daemon says at the boundary before a step."""
M = TypeVar("M", bound=Message)
_MAKING = multiprocessing.get_context("forkserver")
# Torch is imported once, with what DDP and FSDP import later, and each rank begins in a moment.
_MAKING.set_forkserver_preload(
    ["rheostat.trainer.distributed.taking_part", "rheostat.trainer.link", "torch._dynamo"]
)


class Desk:
    """The daemon's side: says what it is to say before a step, and keeps what it hears."""

    is_congested = False

    def __init__(self, commands: Commands, later: Iterable[ToTrainer], seconds: float) -> None:
        self.heard: list[Message] = []
        self.loop: Any = None
        self._commands = {step: list(some) for step, some in commands.items()}
        self._later = list(later)
        self._seconds = seconds

    def send(self, *messages: Message) -> None:
        self.heard += messages

    def receive(self, timeout: float = 0.0) -> list[ToTrainer]:
        """Say it at its boundary; where the run stands still, say one thing at a time."""
        if timeout and self._later:
            import time

            time.sleep(self._seconds)
            return [self._later.pop(0)]
        return self._commands.pop(self.loop.step, []) if self.loop else []

    def unacknowledged(self) -> Unacknowledged:
        return Unacknowledged()


@dataclass
class Told:
    """What the ranks of a run leave behind."""

    heard: list[Message] = field(default_factory=list)
    codes: dict[int, int] = field(default_factory=dict)
    """Exit codes by rank."""

    def all(self, kind: type[M]) -> list[M]:
        return [one for one in self.heard if isinstance(one, kind)]

    @property
    def last(self) -> Finished | Failed:
        last = self.heard[-1]
        assert isinstance(last, Finished | Failed)
        return last

    @property
    def decisions(self) -> list[Decision]:
        return [one for message in self.all(Decided) for one in message.decisions]

    def column(self, name: str) -> dict[int, float]:
        """Return a value of every step, of the only group if it has groups."""
        values: dict[int, float] = {}
        for message in self.all(Telemetry):
            if (rows := message.rows) is None:
                continue
            packed = getattr(rows, name)
            if isinstance(packed, dict) and packed and isinstance(next(iter(packed)), int):
                values |= packed
                continue
            column = next(iter(packed.values()), b"") if isinstance(packed, dict) else packed
            unpacked = struct.unpack(f"<{len(column) // 8}d", column)
            values |= {rows.first_step + index: one for index, one in enumerate(unpacked)}
        return values


def train(
    folder: Path,
    spec: Mapping[str, Any],
    world_size: int,
    commands: Commands | None = None,
    *,
    later: Iterable[ToTrainer] = (),
    seconds: float = 0.0,
    order: StartOrder | None = None,
    before: Callable[[int], None] | None = None,
) -> Told:
    """Train a run with some processes, to its end.

    Args:
        folder: of the run.
        spec: of the run.
        world_size: number of processes.
        commands: what the daemon says, by step.
        later: what it says while the run stands still, one after the other.
        seconds: how long it waits before each of these.
        order: where the trainer begins.
        before: called in each process with its rank, before anything else.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SPEC_FILE).write_text(Spec.model_validate(spec).model_dump_json())
    (folder / "ranks").unlink(missing_ok=True)
    desk = Desk(commands or {}, later, seconds)
    ends: dict[Connection, int] = {}
    processes = []
    for rank in range(world_size):
        here, there = _MAKING.Pipe(duplex=False)
        args = (there, folder, rank, world_size, desk, order or StartOrder(), before, sys.path)
        process = _MAKING.Process(target=_rank, args=args, daemon=True)
        process.start()
        there.close()
        ends[here] = rank
        processes.append(process)
    told = Told()
    try:
        while ends:
            ready = wait(list(ends), PATIENCE_SECONDS)
            assert ready, f"still waiting for ranks {sorted(ends.values())}"
            for end in ready:
                rank = ends.pop(end)  # type: ignore[index]
                try:
                    told.codes[rank], heard = end.recv()  # type: ignore[union-attr]
                except EOFError:
                    told.codes[rank], heard = KILLED, None
                told.heard = heard or told.heard
    finally:
        for process in processes:
            process.kill() if ends else process.join(PATIENCE_SECONDS)
    return told


def _rank(
    end: Connection,
    folder: Path,
    rank: int,
    world_size: int,
    desk: Desk,
    order: StartOrder,
    before: Callable[[int], None] | None,
    path: list[str],
) -> None:
    sys.path[:] = path
    os.environ |= {
        STORE_VARIABLE: str(folder / "ranks"),
        LOCAL_RANK_VARIABLE: str(rank),
        "RANK": str(rank),
        "WORLD_SIZE": str(world_size),
        "GLOO_SOCKET_IFNAME": "lo",
    }
    from rheostat.trainer.checkpoints.starting import start
    from rheostat.trainer.distributed import taking_part
    from rheostat.trainer.ending import failure_of, train_to_end

    def train_with_desk(folder: Path, loop: Any) -> Finished:
        desk.loop = loop
        return train_to_end(folder, loop)

    if before is not None:
        before(rank)
    if rank > 0:
        end.send((taking_part.follow(), None))
        return
    taking_part.train_to_end = train_with_desk
    code = 0
    try:
        last: Message
        if world_size > 1:
            last = taking_part.lead("run", folder, desk, order)
        else:
            last = train_with_desk(folder, start("run", folder, desk, order))
    except Exception as error:
        last = Failed(failure=failure_of(error))
    except SystemExit as gone:
        code, last = int(str(gone.code)), Failed(failure=failure_of(RuntimeError("gone")))
    end.send((code, [*desk.heard, last]))
