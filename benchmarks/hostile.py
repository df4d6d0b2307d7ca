"""How much of a run's speed is lost to clients that mean harm: its steps per second beside them.

A real daemon and a real trainer. The trainer has a CPU of its own; the daemon and the attackers, a
process of the lowest priority as they are other machines in earnest, share the rest. Windows of
calm and of an attack take turns; a ratio is the median over pairs of neighbours. `ratio` is of
steps per second on the wall; `ratio_of_own_time` leaves out the time that the trainer waited for a
CPU which another program had, as the kernel counts it. Beside it stand the CPU time that the
daemon and the attackers take, in seconds per second, and how long an honest client waits.

Attackers that throw memory about slow a neighbour down whomever they attack. So what costs them
most, messages of 100 MB, is also sent to a process that takes connections and closes them
(`huge_elsewhere`): what the daemon adds is the difference.
"""

import argparse
import multiprocessing
import os
import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fuzzing.hostility import ATTACKS, Place

from benchmarks.daemon import show
from benchmarks.lr_latency import SPEC
from benchmarks.processes import cpu_seconds, parent_of, waiting_seconds
from benchmarks.serving import serving
from rheostat.client import Client
from rheostat.runs.records import Phase, RunView

ELSEWHERE = "_elsewhere"
_SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class Window:
    """What went on in some seconds."""

    steps_per_second: float
    steps_per_own_second: float
    daemon_cpu: float
    """Seconds of CPU time per second."""
    attacker_cpu: float
    waits: tuple[float, ...]
    """Seconds that an honest client waited, for each question."""


class Scene:
    """A run, and the processes around it."""

    def __init__(self, client: Client, run: RunView) -> None:
        assert run.pid is not None
        self._client = client
        self._run = run.name
        self._trainer = run.pid
        self._daemon = parent_of(run.pid)

    def look(self, seconds: float, attacker: int | None = None) -> Window:
        """Look on for some time, in which an honest client asks ten times a second."""
        pids = (self._daemon, attacker)
        before, began, waits = [_cpu(pid) for pid in pids], time.monotonic(), []
        first, waited = self._step(), waiting_seconds(self._trainer)
        while time.monotonic() - began < seconds:
            asked = time.monotonic()
            self._step()
            waits.append(time.monotonic() - asked)
            time.sleep(0.1)
        steps, took = self._step() - first, time.monotonic() - began
        own = took - (waiting_seconds(self._trainer) - waited)
        daemon, attackers = (_cpu(pid) - at for pid, at in zip(pids, before, strict=True))
        return Window(steps / took, steps / own, daemon / took, attackers / took, tuple(waits))

    def _step(self) -> int:
        snapshot = self._client.get_run(self._run).snapshot
        assert snapshot is not None
        return snapshot.step


def measure(names: list[str], rounds: int, seconds: float) -> dict[str, Any]:
    first, *rest = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, rest or [first])
    with serving() as daemon, Client(daemon.address) as client, _sink() as elsewhere:
        view = _at_work(client, client.create_run(SPEC).name)
        assert view.pid is not None
        for thread in Path(f"/proc/{view.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), [first])
        scene, found = Scene(client, view), {}
        for name in names:
            attacked = Place(daemon.address, daemon.metrics, view.name)
            if name.endswith(ELSEWHERE):
                attacked = Place(elsewhere, elsewhere, view.name)
            pairs = []
            for _ in range(rounds):
                calm = scene.look(seconds)
                with _attacking(name.removesuffix(ELSEWHERE), attacked) as attacker:
                    pairs.append((calm, scene.look(seconds, attacker)))
            found[name] = _summary(pairs)
        client.stop_run(view.name)
    return {"attacks": found, "rounds": rounds, "seconds": seconds, "cpus": 1 + len(rest)}


def _summary(pairs: list[tuple[Window, Window]]) -> dict[str, float]:
    ratios = [under.steps_per_second / calm.steps_per_second for calm, under in pairs]
    own = [under.steps_per_own_second / calm.steps_per_own_second for calm, under in pairs]
    waits = [wait for _, under in pairs for wait in under.waits]
    return {
        "ratio": statistics.median(ratios),
        "worst_ratio": min(ratios),
        "ratio_of_own_time": statistics.median(own),
        "daemon_cpu_calm": statistics.median(calm.daemon_cpu for calm, _ in pairs),
        "daemon_cpu": statistics.median(under.daemon_cpu for _, under in pairs),
        "attacker_cpu": statistics.median(under.attacker_cpu for _, under in pairs),
        "answer_milliseconds": 1e3 * statistics.median(waits),
        "longest_answer_milliseconds": 1e3 * max(waits),
    }


def _at_work(client: Client, run: str) -> RunView:
    while (view := client.get_run(run)).snapshot is None or view.snapshot.step < 500:
        if view.phase is Phase.FAILED:
            raise SystemExit(str(view.failure))
        time.sleep(0.05)
    return view


@contextmanager
def _attacking(name: str, place: Place) -> Iterator[int]:
    """Have a process attack for the life of the block; yields its id once it is at it."""
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_attack, args=(name, place, theirs), daemon=True)
    process.start()
    ours.recv()
    try:
        assert process.pid is not None
        yield process.pid
    finally:
        ours.send("stop")
        process.join()


def _attack(name: str, place: Place, pipe: Connection) -> None:
    os.nice(19 - os.nice(0))
    with ATTACKS[name](place):
        pipe.send("at it")
        pipe.recv()


@contextmanager
def _sink() -> Iterator[str]:
    """Yield the address of a process that takes connections and closes them."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        process = _SPAWN.Process(target=_close_all, args=(listening,), daemon=True)
        process.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        process.terminate()
        process.join()


def _close_all(listening: socket.socket) -> None:
    while True:
        listening.accept()[0].close()


def _cpu(pid: int | None) -> float:
    return cpu_seconds(pid) if pid is not None else 0.0


def main() -> None:
    known = [*ATTACKS, f"huge{ELSEWHERE}"]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="pairs of windows for each attack")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a window")
    parser.add_argument("--attacks", nargs="+", choices=known, default=known)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    result = measure(options.attacks, options.rounds, options.seconds)
    lines = [
        f"{name:>14}: {one['ratio']:.3f} of its speed, {one['ratio_of_own_time']:.3f} in its own "
        f"time; CPU {one['daemon_cpu_calm']:.3f} to {one['daemon_cpu']:.3f} of the daemon, "
        f"{one['attacker_cpu']:.2f} of the attackers; an answer takes "
        f"{one['answer_milliseconds']:.1f} ms, at most {one['longest_answer_milliseconds']:.0f} ms"
        for name, one in result["attacks"].items()
    ]
    show(result, options.json, "\n".join(lines))


if __name__ == "__main__":
    main()
