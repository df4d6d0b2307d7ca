"""What the page costs the daemon: to read a long run once, to tell all of it, and what is new.

Seconds are of a processor. The run is made up, in a real store: batches of a second's steps, as the
daemon writes them.
"""

import argparse
import asyncio
import math
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.daemon import show
from rheostat.page.sketch import Sketch, told
from rheostat.page.sketches import Sketches
from rheostat.runs.records import Phase, RunView, StepRows
from rheostat.runs.store import Store
from rheostat.steering.records import Components, DecisionRecord, GroupState

BATCH = 1000
RUN = "long"


class Past:
    """As much of a `RunService` as sketches ask for, over a store."""

    def __init__(self, store: Store, groups: int, steps: int) -> None:
        self._store = store
        self._groups = tuple(f"group-{index}" for index in range(groups))
        view = RunView(name=RUN, phase=Phase.RUNNING, spec="{}")
        store.create_run(view, "")
        self._view = view
        self.steps = 0
        while self.steps < steps:
            self.advance(BATCH)

    @property
    def groups(self) -> tuple[str, ...]:
        return self._groups

    def advance(self, count: int) -> None:
        steps = np.arange(self.steps, self.steps + count)
        loss = 2.0 / (1.0 + steps / 5000.0) * (1.0 + 0.3 * np.sin(steps * math.e))
        packed = {group: (1e-3 * np.cos(steps / 1e6)).tobytes() for group in self._groups}
        states = tuple(
            GroupState(name=group, learning_rate=1e-3, base=1e-3, factors={"p": 1.0}, operator=1.0)
            for group in self._groups
        )
        components = Components(revision=0, in_force=(), groups=states)
        rows = StepRows(
            first_step=self.steps,
            count=count,
            train_loss=loss.tobytes(),
            learning_rate=packed,
            base=packed,
            duration=loss.tobytes(),
            components={self.steps: msgspec.json.encode(components).decode()},
            validation_loss={self.steps + count: 1.0},
        )
        self._store.append_rows(RUN, rows)
        self.steps += count

    async def get_run(self, run: str) -> RunView:
        return self._view

    async def list_decisions(self, run: str, **_: int) -> list[DecisionRecord]:
        return []

    async def export_run(
        self, run: str, *, undone: int | None = None, from_step: int = 0
    ) -> AsyncIterator[StepRows]:
        last = from_step - 1
        while batches := self._store.read_rows(run, last):
            for batch in batches:
                yield batch
                last = batch.first_step + batch.count - 1


async def timed(work: Callable[[], Awaitable[Any]]) -> tuple[float, Any]:
    began = time.process_time()
    result = await work()
    return time.process_time() - began, result


async def measure(steps: int, groups: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        past = Past(Store(Path(folder) / "rheostat.db"), groups, steps)
        sketches = Sketches(past)  # type: ignore[arg-type]  # it asks no more of a service

        async def look() -> Sketch:
            return (await sketches.whole(RUN, is_urgent=True))[1]

        async def tell(sketch: Sketch, since: int) -> bytes:
            curves = told(sketch, groups=past.groups, focus=past.groups[0], since=since)
            return msgspec.json.encode(curves)

        first, sketch = await timed(look)
        whole, text = await timed(lambda: tell(sketch, 0))
        count = sketch.count
        past.advance(BATCH // 2)
        more, sketch = await timed(look)
        news, addition = await timed(lambda: tell(sketch, count - 1))
    return {
        "steps": steps,
        "groups": groups,
        "buckets": count,
        "milliseconds": {
            "read_once": 1000 * first,
            "tell_all": 1000 * whole,
            "read_on": 1000 * more,
            "tell_news": 1000 * news,
        },
        "bytes": {"all": len(text), "news": len(addition)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--groups", type=int, default=4)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    result = asyncio.run(measure(options.steps, options.groups))
    took, size = result["milliseconds"], result["bytes"]
    show(
        result,
        options.json,
        f"{result['steps']:,} steps of {result['groups']} groups: {took['read_once']:.0f} ms to "
        f"read them once, {took['tell_all']:.1f} ms and {size['all'] / 1000:.0f} kB to tell them; "
        f"{took['read_on']:.1f} ms to read {BATCH // 2} more, {took['tell_news']:.2f} ms and "
        f"{size['news'] / 1000:.1f} kB to tell what is new",
    )


if __name__ == "__main__":
    main()
