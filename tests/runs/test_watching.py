import asyncio
from types import SimpleNamespace

import msgspec
import pytest

from rheostat.runs import audit, watching
from rheostat.runs.live import RECENT_DECISIONS, LiveRun
from rheostat.runs.records import Phase, RunView, Snapshot
from rheostat.runs.watching import Watch
from rheostat.steering.records import Decision


def decision(revision):
    return Decision(revision=revision, applied_step=revision, source="operator", groups=())


class History:
    """A keeper and its store: the decisions on the disk, and how often they were asked for."""

    def __init__(self):
        self.records = []
        self.reads = 0
        self.store = SimpleNamespace(list_decisions=self._list)

    async def stored(self, call, *arguments):
        return call(*arguments)

    def _list(self, run, after, limit):
        self.reads += 1
        return [one for one in self.records if one.decision.revision > after][:limit]

    def decide(self, live, count=1):
        for _ in range(count):
            record = audit.chain("digits", audit.GENESIS, decision(len(self.records) + 1))
            self.records.append(record)
            live.note(record)
        live.update(revision=len(self.records))


@pytest.fixture
def live():
    return LiveRun(RunView(name="digits", phase=Phase.RUNNING, spec="{}"))


@pytest.fixture
def history():
    return History()


def watch(history, live, after=None):
    return Watch(history, live.view, live, after).events()


def see(live, step):
    live.see(Snapshot(step=step, revision=0, groups=()))


async def until_over(events):
    return [event async for event in events]


async def test_decisions_come_at_once_though_it_is_not_time_for_a_snapshot(
    live, history, monkeypatch
):
    monkeypatch.setattr(watching, "SNAPSHOTS_PER_SECOND", 1e-6)
    events = watch(history, live)
    await anext(events)
    see(live, 1)
    assert (await anext(events)).snapshot.step == 1

    see(live, 2)
    history.decide(live)
    assert (await anext(events)).decision.revision == 1


async def test_the_last_snapshot_is_told_however_many_watch(live, history, monkeypatch):
    monkeypatch.setattr(watching, "SNAPSHOTS_PER_SECOND", 1e-6)
    watched = asyncio.create_task(until_over(watch(history, live)))
    await asyncio.sleep(0)
    for step in range(1, 100):
        see(live, step)
        await asyncio.sleep(0)
    live.update(phase=Phase.SUCCEEDED)

    told = [event.snapshot.step for event in await watched if event.snapshot]
    assert told == [1, 99]


async def test_many_watchers_get_fewer_snapshots_each_and_every_decision(live, history):
    crowd = [asyncio.create_task(until_over(watch(history, live))) for _ in range(200)]
    await asyncio.sleep(0)
    for step in range(1, 51):
        see(live, step)
        history.decide(live)
        await asyncio.sleep(0.01)
    live.update(phase=Phase.SUCCEEDED)

    for events in await asyncio.gather(*crowd):
        assert [e.decision.revision for e in events if e.decision] == [*range(1, 51)]
        assert sum(e.snapshot is not None for e in events) <= 10
        assert events[-1].view.phase is Phase.SUCCEEDED
    assert history.reads == 0
    assert live.watchers == 0


@pytest.mark.parametrize("behind", [1, RECENT_DECISIONS - 1, RECENT_DECISIONS + 500])
async def test_what_memory_has_forgotten_is_read_from_the_disk(live, history, behind):
    history.decide(live, 1000)
    live.update(phase=Phase.SUCCEEDED)
    told = await until_over(watch(history, live, after=1000 - behind))

    revisions = [event.decision.revision for event in told if event.decision]
    assert revisions == [*range(1001 - behind, 1001)]
    assert (history.reads > 0) == (behind > RECENT_DECISIONS)


async def test_whoever_hangs_up_is_not_counted_any_more(live, history):
    events = watch(history, live)
    await anext(events)
    assert live.watchers == 1
    await events.aclose()
    assert live.watchers == 0


async def test_of_a_run_of_another_day_everything_is_told_at_once(history, live):
    history.decide(live, 3)
    view = msgspec.structs.replace(live.view, phase=Phase.FAILED)
    told = await until_over(Watch(history, view, None, 0).events())

    assert [event.decision.revision for event in told if event.decision] == [1, 2, 3]
