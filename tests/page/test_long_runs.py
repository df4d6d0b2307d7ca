"""100,000 steps, and more at each moment: what a browser gets and how long it takes to draw it."""

import asyncio
import statistics
import threading
import time

import msgspec
import numpy as np
import pytest

from rheostat.page.server import PageServer
from rheostat.runs.records import GroupDescription, Phase, RunView, Snapshot, StepRows, WatchEvent
from rheostat.steering.records import Components, Decision, DecisionRecord, GroupChange, GroupState

STEPS = 100_000
GROUPS = ("embedding", "body", "head", "bias")
BATCH = 1000
TICK_SECONDS = 0.25
DECISIONS = 200


class Marathon:
    """A service whose one run has taken many steps, and takes a thousand more each second."""

    def __init__(self):
        self._random = np.random.default_rng(0)
        self._rows = [self._batch(first) for first in range(0, STEPS, BATCH)]
        self._records = [self._record(1 + index) for index in range(DECISIONS)]

    @property
    def step(self):
        return sum(batch.count for batch in self._rows)

    async def list_runs(self):
        return [await self.get_run("marathon")]

    async def get_run(self, run):
        return RunView(
            name="marathon",
            phase=Phase.RUNNING,
            spec="{}",
            steps=10 * STEPS,
            groups=tuple(
                GroupDescription(name=name, tensors=1, parameters=1, lr=None, lr_scale=1.0)
                for name in GROUPS
            ),
            snapshot=Snapshot(
                step=self.step, revision=DECISIONS, groups=self._states(), train_loss=0.1
            ),
            revision=DECISIONS,
        )

    async def list_decisions(self, run, *, after_revision=0, limit=100):
        return self._records[after_revision:][:limit]

    async def list_checkpoints(self, run):
        return []

    async def list_held_changes(self, run):
        return []

    async def export_run(self, run, *, undone=None, from_step=0):
        for batch in self._rows[from_step // BATCH :]:
            yield batch

    async def watch_run(self, run, *, after_revision=None):
        yield WatchEvent(run=run, view=await self.get_run(run))
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._rows.append(self._batch(self.step, int(BATCH * TICK_SECONDS)))
            yield WatchEvent(run=run, snapshot=(await self.get_run(run)).snapshot)

    def _states(self):
        return tuple(
            GroupState(name=name, learning_rate=1e-3, base=1e-3, factors={"p": 1.0}, operator=1.0)
            for name in GROUPS
        )

    def _batch(self, first, count=BATCH):
        steps = np.arange(first, first + count)
        loss = 2.0 / (1 + steps / 5000) * np.exp(self._random.normal(0, 0.3, count))
        rates = {
            name: 1e-3 / (1 + index) * (1 + np.cos(steps / STEPS * 3)) * (0.5 + steps % 7 / 14)
            for index, name in enumerate(GROUPS)
        }
        packed = {name: one.astype("<f8").tobytes() for name, one in rates.items()}
        told = Components(revision=1, in_force=(), groups=self._states())
        return StepRows(
            first_step=first,
            count=count,
            train_loss=loss.astype("<f8").tobytes(),
            learning_rate=packed,
            base=packed,
            duration=loss.astype("<f8").tobytes(),
            components={first: msgspec.json.encode(told).decode()},
            validation_loss={first + count: float(loss.mean())},
        )

    def _record(self, revision):
        made = Decision(
            revision=revision,
            applied_step=revision * STEPS // (DECISIONS + 1),
            source="policy:loss_spike",
            groups=tuple(GroupChange(name=name, old=2e-3, new=1e-3, base=1e-3) for name in GROUPS),
            reason="a spike",
        )
        return DecisionRecord(run="marathon", decision=made, previous_hash="", hash="0" * 64)


@pytest.fixture(scope="module")
def marathon():
    """Where the page of that run answers."""
    started, loop = threading.Event(), asyncio.new_event_loop()
    found = []

    async def live():
        server = PageServer(Marathon(), address="127.0.0.1:0")
        found.append(f"http://{await server.start()}/")
        started.set()
        await over.wait()
        await server.stop()

    over = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(live()), name="marathon")
    thread.start()
    started.wait()
    yield found[0]
    loop.call_soon_threadsafe(over.set)
    thread.join()
    loop.close()


def test_a_hundred_thousand_steps_are_drawn_at_once_and_stay_smooth(
    marathon, visit, knows, meter, frames
):
    page = visit("about:blank")
    busy = meter(page)
    page.goto(marathon)
    page.wait_for_selector("#chart-components canvas")
    drawn_after, drawing = page.evaluate("performance.now()"), busy()
    noted, before, began = frames(page), knows(page, "state.course.end"), time.monotonic()
    box = page.locator("#chart-loss .u-over").bounding_box()
    for x in range(40):  # Somebody moves the pointer meanwhile.
        page.mouse.move(box["x"] + 20 * x, box["y"] + 50)
        page.wait_for_timeout(100)
    after, living = knows(page, "state.course.end"), busy() - drawing
    times = noted()
    print(
        f"\ndrawn after {drawn_after:.0f} ms, {1000 * drawing:.0f} of them computing; then busy "
        f"for {living / (time.monotonic() - began):.0%} of the time; frames: median "
        f"{statistics.median(times):.1f} ms, 99 % within {times[int(0.99 * len(times))]:.1f}"
    )

    assert before >= STEPS
    assert after >= before + 2 * BATCH, "it is live meanwhile"
    # Frames are for whoever reads the figures: what a clock says is the machine's, which CI shares.
    # A processor's time is the page's own: that until all is drawn, and that for each new state.
    assert drawing < 2.0
    assert living / ((after - before) / (BATCH * TICK_SECONDS)) < 0.15


def test_a_browser_gets_some_thousands_of_points_and_then_what_is_new(marathon, visit, knows):
    page = visit("about:blank")
    page.goto(marathon)
    page.wait_for_selector("#chart-components canvas")
    lengths = page.evaluate(
        """async () => {
            const response = await fetch("api/runs/marathon/live?after=200");
            const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
            const lengths = [];
            let rest = "";
            while (lengths.length < 3) {
                const { value } = await reader.read();
                const lines = (rest + value).split("\\n");
                rest = lines.pop();
                for (const line of lines) {
                    if (JSON.parse(line).type === "steps") lengths.push(line.length);
                }
            }
            await reader.cancel();
            return lengths;
        }"""
    )

    assert 1024 < knows(page, "state.course.steps.length") <= 2048
    assert lengths[0] < 2**20
    assert max(lengths[1:]) < 20_000
