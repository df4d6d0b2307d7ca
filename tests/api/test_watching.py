import asyncio

import grpc
import msgspec
import pytest

from rheostat.runs.records import Phase, WatchEvent
from rheostat.steering.records import PolicyStatus
from rheostat.v1.learning_rates_pb2 import ChangeLearningRateRequest, Scale
from rheostat.v1.runs_pb2 import (
    PHASE_RUNNING,
    PHASE_SUCCEEDED,
    ExportRunRequest,
    GetRunRequest,
    WatchRunRequest,
)
from rheostat.v1.runs_pb2_grpc import RunsStub

WATCH = WatchRunRequest(run="digits")


async def test_a_watch_tells_a_view_first_and_ends_after_the_final_one(runs, service):
    final = msgspec.structs.replace(service.views[0], phase=Phase.SUCCEEDED)
    service.events.append(WatchEvent(run="digits", view=final))

    events = [event async for event in runs.WatchRun(WATCH)]

    kinds = [event.WhichOneof("event") for event in events]
    assert kinds == ["run", "snapshot", "decision", "run"]
    assert events[0].run.phase == PHASE_RUNNING
    assert events[-1].run.phase == PHASE_SUCCEEDED


@pytest.mark.parametrize("revision", [None, 0, 7])
async def test_a_watch_can_begin_after_a_revision(runs, service, revision):
    request = WatchRunRequest(run="digits", after_revision=revision)
    async for _ in runs.WatchRun(request):
        pass

    assert service.asked == [("watch_run", {"after_revision": revision})]


async def test_a_watcher_that_hangs_up_ends_the_watch_in_the_daemon(runs, service):
    service.ends = False
    stream = runs.WatchRun(WATCH)
    await stream.read()

    stream.cancel()

    await asyncio.wait_for(service.given_up.wait(), 5)


async def test_a_reader_that_does_not_read_stops_the_writer_and_nobody_else(runs, service):
    """What the service is not asked for, it can coalesce; the daemon's memory does not grow."""
    service.ends = False
    snapshot = service.events[1].snapshot
    large = msgspec.structs.replace(
        snapshot, policies=(PolicyStatus(name="loss_spike", failure="x" * 100_000),)
    )
    service.events.append(msgspec.structs.replace(service.events[1], snapshot=large))
    stream = runs.WatchRun(WATCH)
    await stream.read()

    before, told = -1, service.told
    while told > before:  # the buffers between the two fill up
        await asyncio.sleep(0.2)
        before, told = told, service.told

    assert told < 1000
    assert (await runs.GetRun(GetRunRequest(run="digits"))).run.name == "digits"
    await stream.read()
    stream.cancel()
    await asyncio.wait_for(service.given_up.wait(), 5)


async def test_two_callers_watch_and_change_at_once(address, service, learning_rates):
    service.applies = False
    async with (
        grpc.aio.insecure_channel(address) as first,
        grpc.aio.insecure_channel(address) as second,
    ):
        changes = [
            learning_rates.ChangeLearningRate(
                ChangeLearningRateRequest(run="digits", scale=Scale(factor=0.5), request_id=key)
            )
            for key in ("a", "b")
        ]
        watches = [RunsStub(channel).WatchRun(WATCH) for channel in (first, second)]
        seen = [[event async for event in watch] for watch in watches]
        service.applies = True
        answers = [await change for change in changes]

    assert seen[0] == seen[1]
    assert len(seen[0]) == 3
    assert {answer.request_id for answer in answers} == {"a", "b"}


async def test_an_export_streams_the_packed_columns(runs, service):
    [answer] = [answer async for answer in runs.ExportRun(ExportRunRequest(run="digits"))]

    [rows] = service.rows
    assert answer.rows.train_loss == rows.train_loss
    assert dict(answer.rows.learning_rate) == rows.learning_rate
    assert dict(answer.rows.gradient_norm) == {1: 2.5}
