"""How the cost of decisions grows with those already written: pages of history, and one more.

A store is filled with decisions, chained as they are in a run's life, and asked through a real
server for the first, a middle and the last page, for the explanation's way to single ones, and to
write one more, synchronously, as before every answer to a change.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from rich.progress import track

from benchmarks.daemon import show
from rheostat.api.server import ApiServer
from rheostat.client import AsyncClient
from rheostat.runs.records import Phase, RunView
from rheostat.runs.service import RunService
from rheostat.runs.store import Store
from rheostat.runs.supervisor import Supervisor
from rheostat.steering.records import Decision, GroupChange

RUN = "long"
REPEATS = 50
_BATCH = 5000


def decision(revision: int) -> Decision:
    change = GroupChange(name="default", old=1e-3, new=1e-3, base=1e-3)
    return Decision(
        revision=revision,
        applied_step=revision,
        source="operator",
        groups=(change,),
        verb="scale",
        value=1.0,
        principal="benchmark",
        request_id=f"request-{revision}",
        time=float(revision),
    )


def fill(store: Store, start: int, end: int) -> None:
    """Append the decisions of some revisions, the end not among them."""
    batches = range(start, end, _BATCH)
    for first in track(batches, f"writing decisions up to {end - 1:,}", transient=True):
        last = min(first + _BATCH, end)
        store.append_decisions(RUN, tuple(map(decision, range(first, last))))


async def measure(store: Store, folder: Path, count: int) -> dict[str, float]:
    """Return medians in milliseconds for a run with so many decisions."""
    service = RunService(store, Supervisor(folder), max_concurrent_runs=1, clock=time.time)
    api = ApiServer(service, address="127.0.0.1:0")
    address = await api.start()
    try:
        async with AsyncClient(address) as client:

            async def page(after: int) -> None:
                async for record in client.list_decisions(RUN, after):
                    if record.decision.revision >= after + 100:
                        return

            pages = {
                "first_page": lambda: page(0),
                "middle_page": lambda: page(max(0, count // 2 - 100)),
                "last_page": lambda: page(max(0, count - 100)),
            }
            return {name: await _median(ask) for name, ask in pages.items()}
    finally:
        await api.stop(0.1)


async def _median(ask: Callable[[], Awaitable[None]]) -> float:
    took = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        await ask()
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1e3


def append(store: Store, count: int) -> float:
    """Return the median milliseconds of one more decision, on the disk."""
    took = []
    for revision in range(count + 1, count + 1 + REPEATS):
        began = time.perf_counter()
        store.append_decisions(RUN, (decision(revision),))
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1e3


def find(store: Store, count: int) -> float:
    """Return the median milliseconds to find what became of a request."""
    took = []
    for index in range(REPEATS):
        began = time.perf_counter()
        found = store.find_decision(RUN, f"request-{1 + index * count // REPEATS}")
        took.append(time.perf_counter() - began)
        assert found is not None
    return statistics.median(took) * 1e3


def measure_all(counts: list[int]) -> dict[str, Any]:
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = Store(folder / "rheostat.db")
        store.create_run(RunView(name=RUN, phase=Phase.SUCCEEDED, spec="{}"), "")
        written = 0
        for count in sorted(counts):
            fill(store, written + 1, count + 1)
            results[str(count)] = {
                **asyncio.run(measure(store, folder, count)),
                "find_request": find(store, count),
                "one_more": append(store, count),
                "megabytes": sum(one.stat().st_size for one in folder.glob("rheostat.db*")) / 1e6,
            }
            written = count + REPEATS
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    counts = [10, 1000, 100_000, 1_000_000]
    parser.add_argument("--decisions", type=int, nargs="+", default=counts)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    results = measure_all(options.decisions)
    lines = [
        f"{int(count):>9,} decisions ({one['megabytes']:.1f} MB): page of 100: first "
        f"{one['first_page']:.1f}, middle {one['middle_page']:.1f}, last {one['last_page']:.1f} "
        f"ms; find a request {one['find_request']:.2f} ms; one more {one['one_more']:.2f} ms"
        for count, one in results.items()
    ]
    show({"milliseconds": results}, options.json, "\n".join(lines))


if __name__ == "__main__":
    main()
