"""How much of a run's speed is lost to clients that mean harm: its steps per second beside them.

A real daemon and a real trainer. The trainer has a CPU of its own and everything else shares the
other: what is measured is what reaches the trainer, and not what a busy machine leaves it. Windows
of calm and of an attack take turns; the ratio of an attack is the median over pairs of neighbours.
Beside it stands how long an honest client waits for an answer.
"""

import argparse
import os
import statistics
import time
from typing import Any

from fuzzing.hostility import ATTACKS, Place

from benchmarks.daemon import show
from benchmarks.lr_latency import SPEC, serving
from rheostat.client import Client
from rheostat.runs.records import Phase, RunView


def measure(rounds: int, seconds: float) -> dict[str, Any]:
    first, *rest = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, rest or [first])
    with serving() as (address, metrics), Client(address) as client:
        run = client.create_run(SPEC).name
        view = _at_work(client, run)
        assert view.pid is not None
        os.sched_setaffinity(view.pid, [first])
        place = Place(address, metrics, run)
        found = {}
        for name, attack in ATTACKS.items():
            ratios, waits = [], []
            for _ in range(rounds):
                calm = _steps_per_second(client, run, seconds, [])
                with attack(place):
                    ratios.append(_steps_per_second(client, run, seconds, waits) / calm)
            found[name] = {
                "ratio": statistics.median(ratios),
                "worst_ratio": min(ratios),
                "answer_milliseconds": 1e3 * statistics.median(waits),
                "longest_answer_milliseconds": 1e3 * max(waits),
            }
        client.stop_run(run)
    return {"attacks": found, "rounds": rounds, "seconds": seconds, "cpus": 1 + len(rest)}


def _at_work(client: Client, run: str) -> RunView:
    while (view := client.get_run(run)).snapshot is None or view.snapshot.step < 500:
        if view.phase is Phase.FAILED:
            raise SystemExit(str(view.failure))
        time.sleep(0.05)
    return view


def _steps_per_second(client: Client, run: str, seconds: float, waits: list[float]) -> float:
    """Return the speed over some time, in which an honest client asks ten times a second."""
    began = time.monotonic()
    first = _step(client, run)
    while time.monotonic() - began < seconds:
        asked = time.monotonic()
        _step(client, run)
        waits.append(time.monotonic() - asked)
        time.sleep(0.1)
    return (_step(client, run) - first) / (time.monotonic() - began)


def _step(client: Client, run: str) -> int:
    snapshot = client.get_run(run).snapshot
    assert snapshot is not None
    return snapshot.step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="pairs of windows for each attack")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a window")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    result = measure(options.rounds, options.seconds)
    lines = [
        f"{name:>10}: {one['ratio']:.3f} of its speed, an answer takes "
        f"{one['answer_milliseconds']:.1f} ms, at most {one['longest_answer_milliseconds']:.0f} ms"
        for name, one in result["attacks"].items()
    ]
    show(result, options.json, "\n".join(lines))


if __name__ == "__main__":
    main()
