"""Runs that are interrupted and go on, beside the same runs left alone."""

import json
import random
import struct
import textwrap
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import pytest
import torch

from rheostat.runs.checkpoints import newest_good
from rheostat.runs.messages import (
    Decided,
    Message,
    Offended,
    SaveCommand,
    SaveFailed,
    Telemetry,
    ToTrainer,
    Unacknowledged,
)
from rheostat.runs.starting import CHECKPOINTS_FOLDER, SPEC_FILE, StartOrder
from rheostat.spec.models import Spec
from rheostat.steering.records import Decision, Offence
from rheostat.trainer.checkpoints.starting import start
from rheostat.trainer.loop import Loop

M = TypeVar("M", bound=Message)
Commands = Mapping[int, Iterable[ToTrainer]]
"""What the daemon says at the boundary before a step."""


class Daemon:
    """The other side of a run: says what it is to say before a step, and keeps what it hears."""

    is_congested = False

    def __init__(self, commands: Commands | None = None) -> None:
        self.heard: list[Message] = []
        self.loop: Loop | None = None
        self._later: list[ToTrainer] = []
        self._commands = {step: list(some) for step, some in (commands or {}).items()}

    def send(self, *messages: Message) -> None:
        self.heard += messages

    def say_then(self, commands: Iterable[ToTrainer]) -> None:
        """Say something as soon as the run stands still."""
        self._later = list(commands)

    def receive(self, timeout: float = 0.0) -> list[ToTrainer]:
        if timeout:
            later, self._later = self._later, []
            return later
        return self._commands.pop(self.loop.step, []) if self.loop else []

    def unacknowledged(self) -> Unacknowledged:
        return Unacknowledged()

    def all(self, kind: type[M]) -> list[M]:
        return [one for one in self.heard if isinstance(one, kind)]

    @property
    def step(self) -> int:
        assert self.loop is not None
        return self.loop.step

    def finish(self) -> dict[str, torch.Tensor]:
        """Train to the end and return the weights, as they are learned with."""
        assert self.loop is not None
        self.loop.run()
        state = self.loop.parts.model.state_dict()
        return {name: one.clone() for name, one in state.items() if isinstance(one, torch.Tensor)}

    @property
    def decisions(self) -> list[Decision]:
        return [one for message in self.all(Decided) for one in message.decisions]

    @property
    def offences(self) -> list[Offence]:
        return [one for message in self.all(Offended) for one in message.offences]

    def losses(self) -> dict[int, float]:
        return {step: loss for (_, step), loss in self.column("train_loss").items()}

    def column(self, name: str) -> dict[tuple[str, int], float]:
        """Return a value by group, if it has groups, and step."""
        values = {}
        for message in self.all(Telemetry):
            rows = message.rows
            if rows is None:
                continue
            packed = getattr(rows, name)
            for group, column in (packed if isinstance(packed, dict) else {"": packed}).items():
                unpacked = struct.unpack(f"<{rows.count}d", column)
                values |= {(group, rows.first_step + n): one for n, one in enumerate(unpacked)}
        return values

    def validations(self) -> dict[int, float]:
        rows = [message.rows for message in self.all(Telemetry) if message.rows is not None]
        return {step: loss for one in rows for step, loss in one.validation_loss.items()}


class Run:
    """A run in a folder of its own, trained as far as a test wants."""

    def __init__(self, folder: Path, spec: Mapping[str, Any]) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        whole = Spec.model_validate(spec)
        (folder / SPEC_FILE).write_text(whole.model_dump_json())
        self.spec = whole

    def begin(self, commands: Commands | None = None, order: StartOrder | None = None) -> Daemon:
        """Start a trainer, in this process, which another run has left as it pleased."""
        for generator in (random.seed, np.random.seed, torch.manual_seed):
            generator(random.randrange(2**32))
        daemon = Daemon(commands)
        written = msgspec.json.encode(order or StartOrder())
        order = msgspec.json.decode(written, type=StartOrder)
        daemon.loop = start("run", self.folder, daemon, order)
        return daemon

    @property
    def checkpoints(self) -> Path:
        return self.folder / CHECKPOINTS_FOLDER

    def newest(self) -> str:
        found, refused = newest_good(self.checkpoints)
        assert found is not None, refused
        return found.path

    def interrupt(
        self, at: int, commands: Commands | None = None, *, steps_more: int = 3
    ) -> tuple[Daemon, StartOrder]:
        """Train until a checkpoint is written at a step, and on until the trainer is killed.

        Returns:
            What its daemon has heard, and the order that the next trainer gets.
        """
        plan = {step: list(some) for step, some in (commands or {}).items()}
        plan[at] = [*plan.get(at, ()), SaveCommand(command_id=1000)]
        daemon = self.begin(plan)
        assert daemon.loop is not None
        daemon.loop.advance(at + steps_more)
        while daemon.loop._saver.is_busy:  # type: ignore[union-attr]
            time.sleep(0.01)
        daemon.loop.report(after=daemon.loop._boundary.news())
        assert not daemon.all(SaveFailed), daemon.all(SaveFailed)
        return daemon, self.order_after(daemon)

    def order_after(self, daemon: Daemon, steps_done: int = 0) -> StartOrder:
        """Return what the next trainer is told, when all that was decided was written down."""
        found, refused = newest_good(self.checkpoints)
        assert not refused
        revision = found.revision if found else 0
        return StartOrder(
            attempt=2,
            checkpoint=found.path if found else None,
            decisions=tuple(one for one in daemon.decisions if one.revision > revision),
            offences=tuple(daemon.offences),
            steps_done=steps_done,
        )


@pytest.fixture
def a_run(tmp_path: Path) -> Callable[..., Run]:
    """Make runs, each in a folder of its own."""
    made: list[Run] = []

    def make(**sections: Any) -> Run:
        train = {"steps": 40, "device": "cpu"} | sections.pop("train", {})
        spec = {
            "model": {"name": "mlp", "args": {"hidden": [16]}},
            "optimizer": {"name": "SGD", "lr": 0.1, "args": {"momentum": 0.9}},
            "evaluate": {"every": 7},
            "train": train,
            # None by the clock: how long a run of the tests takes is the machine's affair.
            "checkpoint": {"every_seconds": 0, "keep_best": 0},
        }
        run = Run(tmp_path / str(len(made)), json.loads(json.dumps(spec | sections)))
        made.append(run)
        return run

    return make


PLUGIN = """
import random
import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset


class Net(nn.Module):
    \"\"\"Batch norm, dropout, tied weights, a buffer that no state dict holds, extra state.\"\"\"

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Linear(64, 16), nn.BatchNorm1d(16)
        self.inner = nn.Linear(16, 16)
        self.tied = nn.Linear(16, 16)
        self.tied.weight = self.inner.weight
        self.last = nn.Linear(16, 10)
        self.register_buffer("mean", torch.zeros(16), persistent=False)
        self.calls = 0

    def get_extra_state(self):
        return {"calls": self.calls, "pair": (1, torch.tensor([self.calls]))}

    def set_extra_state(self, state):
        assert state["pair"][1].item() == state["calls"]
        self.calls = state["calls"]

    def forward(self, inputs):
        hidden = self.norm(self.first(inputs.flatten(1)))
        if self.training:
            self.calls += 1
            self.mean.mul_(0.9).add_(hidden.detach().mean(0), alpha=0.1)
            hidden = hidden * (1 + 0.01 * random.random() + 0.01 * np.random.rand())
            hidden = hidden + 0.001 * self.calls
        hidden = nn.functional.dropout(torch.relu(hidden - self.mean), 0.3, self.training)
        return self.last(self.tied(self.inner(hidden)))


class Images(Dataset):
    classes = 10

    def __init__(self, samples):
        self.samples = samples
        self.targets = torch.arange(samples) % 10

    def __len__(self):
        return self.samples

    def __getitem__(self, index):
        noise = torch.rand(64) + random.random()
        return noise + index % 10, int(self.targets[index])


def images():
    return Images(200)


class Holder(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(64, 10)

    def get_extra_state(self):
        return {1, 2}

    def set_extra_state(self, state):
        pass

    def forward(self, inputs):
        return self.inner(inputs.flatten(1))
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "checkpoint_plugin.py").write_text(textwrap.dedent(PLUGIN))
    monkeypatch.syspath_prepend(str(tmp_path))
    return "checkpoint_plugin"
