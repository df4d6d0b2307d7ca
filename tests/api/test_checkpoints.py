"""Checkpoints and evaluations over the wire: what was asked, and every bit of the answer."""

import grpc
import pytest
from msgspec.structs import replace

from rheostat.runs.records import Phase
from rheostat.v1 import checkpoints_pb2, runs_pb2
from rheostat.v1.checkpoints_pb2_grpc import CheckpointsStub


@pytest.fixture
def checkpoints(channel):
    return CheckpointsStub(channel)


async def test_a_checkpoint_is_taken_pinned_and_listed(checkpoints, service):
    request = checkpoints_pb2.SaveCheckpointRequest(run="digits", pin=True)
    saved = (await checkpoints.SaveCheckpoint(request)).checkpoint
    listed = await checkpoints.ListCheckpoints(checkpoints_pb2.ListCheckpointsRequest(run="digits"))

    [(method, asked), _] = service.asked
    assert (method, asked["pin"]) == ("save_checkpoint", True)
    assert (saved.step, saved.revision, saved.created_at) == (12, 1, 1_700_000_002.5)
    assert list(listed.checkpoints) == [saved]


async def test_an_evaluation_keeps_every_bit(runs):
    found = await runs.EvaluateRun(runs_pb2.EvaluateRunRequest(run="digits"))

    assert (found.step, found.validation_loss, found.validation_accuracy) == (12, 0.1 + 0.2, 0.75)


async def test_a_run_that_does_not_exist_has_no_checkpoints(checkpoints, refusal):
    request = checkpoints_pb2.ListCheckpointsRequest(run="ghost")

    assert (await refusal(checkpoints.ListCheckpoints(request))).code is grpc.StatusCode.NOT_FOUND


async def test_the_priority_of_a_run_reaches_the_queue(runs, service):
    await runs.CreateRun(runs_pb2.CreateRunRequest(spec="{}", priority=7))

    assert service.asked[0][1]["priority"] == 7


async def test_a_fork_of_a_script_s_run_says_how_to_begin_it(checkpoints, service):
    request = checkpoints_pb2.ForkRunRequest(run="digits", spec="{}")
    by_itself = await checkpoints.ForkRun(request)
    service.forked = replace(service.forked, name="other", phase=Phase.QUEUED, attached=True)
    by_script = await checkpoints.ForkRun(request)

    assert (by_itself.begin, by_script.run.phase) == ("", runs_pb2.PHASE_QUEUED)
    assert "RHEOSTAT_RUN=other python script.py" in by_script.begin
