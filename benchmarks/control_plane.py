"""The control plane under load: what a loop keeps of its speed, and what everybody else sees.

For each number of watchers, a whole daemon with a run that is scraped each second and asked things,
half of them changes. The loop's slices alternate with those of a bare one, as in
`benchmarks.overhead`. Afterwards every watcher must have seen every decision, each once and in
order; the daemon's memory is read once a second.

Set OMP_NUM_THREADS=1.
"""

import argparse
import statistics
import time
from typing import Any

import numpy as np

from benchmarks.daemon import show
from benchmarks.overhead import SLICE_STEPS, Bare, Steered, spec_of
from benchmarks.processes import cpu_seconds, resident_megabytes
from benchmarks.seat import Crowd, Seat, seat

HIDDEN = [64, 64, 32]
"""Of a network whose step takes half a millisecond."""


def measure(watchers: int, requests: int, seconds: float) -> dict[str, Any]:
    """Measure with some watchers and control requests a second."""
    spec = spec_of(HIDDEN, 64)
    with seat(spec, Crowd(watchers, requests)) as taken:
        bare, steered = Bare(spec), Steered(taken.loop)
        for loop in (bare, steered):
            loop.run(SLICE_STEPS)
        busy = cpu_seconds(taken.pid)
        began = time.perf_counter()
        pairs, memory = _alternate(bare, steered, taken.pid, seconds)
        took = time.perf_counter() - began
        busy = cpu_seconds(taken.pid) - busy
        tally = _tally(taken)
    return {
        **tally,
        "requests_per_second": requests,
        "ratio": statistics.median(one for one, _ in pairs)
        / statistics.median(other for _, other in pairs),
        "ratio_of_pairs": statistics.median(one / other for one, other in pairs),
        "daemon_megabytes": _over_time(memory),
        "daemon_cpu_share": busy / took,
        "seconds": took,
    }


def _alternate(
    bare: Bare, steered: Steered, pid: int, seconds: float
) -> tuple[list[tuple[float, float]], list[float]]:
    """Return pairs of slices, bare and steered, and the daemon's memory second by second."""
    pairs: list[tuple[float, float]] = []
    memory: list[float] = []
    began = looked = time.perf_counter()
    while time.perf_counter() - began < seconds:
        if len(pairs) % 2:
            other = steered.run(SLICE_STEPS)
            one = bare.run(SLICE_STEPS)
        else:
            one = bare.run(SLICE_STEPS)
            other = steered.run(SLICE_STEPS)
        pairs.append((one, other))
        if time.perf_counter() - looked >= 1.0:
            looked = time.perf_counter()
            memory.append(resident_megabytes(pid))
    return pairs, memory or [resident_megabytes(pid)]


def _over_time(memory: list[float]) -> dict[str, float]:
    """Return the medians of the first, the middle and the last tenth."""
    part = max(1, len(memory) // 10)
    middle = len(memory) // 2
    return {
        "first": statistics.median(memory[:part]),
        "middle": statistics.median(memory[middle : middle + part]),
        "last": statistics.median(memory[-part:]),
    }


def _tally(taken: Seat) -> dict[str, Any]:
    tally = taken.tally()
    answered = np.array(tally.pop("answer_seconds") or [0.0]) * 1e3
    shares = {"p50": 50, "p99": 99, "max": 100}
    spread = {name: float(np.percentile(answered, share)) for name, share in shares.items()}
    return {**tally, "answer_milliseconds": spread}


def _sentence(one: dict[str, Any]) -> str:
    memory, answers = one["daemon_megabytes"], one["answer_milliseconds"]
    return (
        f"{one['watchers']:>5} watchers, {one['requests_per_second']} requests/s: loop keeps "
        f"{one['ratio']:.3f}; answers p50 {answers['p50']:.1f} ms, p99 {answers['p99']:.1f} ms; "
        f"{one['watchers_that_missed_a_decision']} watchers missed one of {one['changes']} "
        f"decisions; {one['snapshots_per_watcher'] / one['seconds']:.1f} snapshots/s each; daemon "
        f"{memory['first']:.0f} to {memory['last']:.0f} MB, {one['daemon_cpu_share']:.0%} of a core"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--watchers", type=int, nargs="+", default=[1, 10, 100, 1000])
    parser.add_argument("--requests", type=int, default=200, help="control requests per second")
    parser.add_argument("--seconds", type=float, default=20.0, help="of measuring, for each")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    results = []
    for watchers in options.watchers:
        results.append(measure(watchers, options.requests, options.seconds))
        if not options.json:
            print(_sentence(results[-1]), flush=True)
    if options.json:
        show({"results": results}, True, "")


if __name__ == "__main__":
    main()
