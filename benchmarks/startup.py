"""How long `rheostat serve` takes until it answers, beside `python -c pass`, and its memory then.

Rounds alternate, so that a noisy machine slows both. Ready is the moment at which the daemon says
that it is; its memory is read then, and again after a client has listed its runs.
"""

import argparse
import statistics
import subprocess
import sys
import time
from typing import Any

from benchmarks.daemon import show
from benchmarks.processes import cpu_seconds, resident_megabytes
from benchmarks.serving import serving
from rheostat.client import Client


def python_seconds() -> float:
    """Return how long an interpreter takes that does nothing."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.perf_counter() - began


def serve() -> dict[str, float]:
    """Start a daemon, and return seconds until it is ready, of which computing, and megabytes."""
    with serving() as daemon:
        busy, idle = cpu_seconds(daemon.pid), resident_megabytes(daemon.pid)
        with Client(daemon.address) as client:
            client.list_runs()
        used = resident_megabytes(daemon.pid)
    return {"ready": daemon.ready_seconds, "busy": busy, "idle": idle, "used": used}


def measure(rounds: int) -> dict[str, Any]:
    """Return medians over some rounds."""
    python_seconds(), serve()  # whatever is not in the page cache yet
    pairs = [(python_seconds(), serve()) for _ in range(rounds)]
    bare = statistics.median(one for one, _ in pairs)
    daemon = {
        name: statistics.median(one[name] for _, one in pairs)
        for name in ("ready", "busy", "idle", "used")
    }
    return {
        "python_seconds": bare,
        "ready_seconds": daemon["ready"],
        "added_seconds": daemon["ready"] - bare,
        "cpu_seconds": daemon["busy"],
        "resident_megabytes": daemon["idle"],
        "resident_megabytes_in_use": daemon["used"],
        "rounds": rounds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    result = measure(options.rounds)
    show(
        result,
        options.json,
        f"serve is ready {result['added_seconds']:.2f} s after `python -c pass` would be "
        f"({result['ready_seconds']:.2f} against {result['python_seconds']:.2f} s; it computes for "
        f"{result['cpu_seconds']:.2f} s), with {result['resident_megabytes']:.0f} MB resident, "
        f"{result['resident_megabytes_in_use']:.0f} MB once asked",
    )


if __name__ == "__main__":
    main()
