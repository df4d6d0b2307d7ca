import asyncio

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from rheostat import errors
from rheostat.api.errors import MISTAKE, STATUS_OF, abort, from_rpc_error, to_status
from rheostat.errors import InvalidRequest, InvalidSpec, NotFound, RheostatError, Violation
from rheostat.v1 import runs_pb2

GET = runs_pb2.GetRunRequest(run="digits")
TOO_SMALL = Violation("train.steps", "0", "at least 1")
MISSING = Violation("train", "", "a section")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidRequest([TOO_SMALL]), grpc.StatusCode.INVALID_ARGUMENT),
        (InvalidSpec([TOO_SMALL]), grpc.StatusCode.INVALID_ARGUMENT),
        (NotFound("no run is named 'ü'\n"), grpc.StatusCode.NOT_FOUND),
        (errors.FailedPrecondition("it has ended"), grpc.StatusCode.FAILED_PRECONDITION),
        (errors.RevisionConflict("at revision 3, not 2"), grpc.StatusCode.ABORTED),
        (errors.ResourceExhausted("too many"), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (errors.DeadlineExceeded("too late"), grpc.StatusCode.DEADLINE_EXCEEDED),
        (errors.StorageFailed("disk full"), grpc.StatusCode.UNAVAILABLE),
        (errors.BrokenChain("altered"), grpc.StatusCode.UNAVAILABLE),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_an_error_becomes_its_status_with_its_message_and_name(
    runs, service, refusal, error, code
):
    service.errors = [error]

    refused = await refusal(runs.GetRun(GET))

    assert (refused.code, refused.message) == (code, str(error))
    assert (refused.info.reason, refused.info.domain) == (type(error).__name__, "rheostat")


def test_every_error_but_the_client_s_own_has_a_row_in_the_table():
    public = set(RheostatError.__subclasses__()) | set(InvalidRequest.__subclasses__())

    assert set(STATUS_OF) == public - {errors.Unreachable}


async def test_every_mistake_in_a_spec_is_a_field_violation(runs, service, refusal):
    service.errors = [InvalidSpec([TOO_SMALL, MISSING])]

    refused = await refusal(runs.CreateRun(runs_pb2.CreateRunRequest(spec="{}")))

    assert refused.violations == {"train.steps": "0: at least 1", "train": "a section"}


class Answer(grpc.RpcError):
    """A status as a caller's side of gRPC shows it."""

    def __init__(self, status):
        self.code = lambda: status.code
        self.details = lambda: status.details
        self.trailing_metadata = lambda: status.trailing_metadata


TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)


@given(
    kind=st.sampled_from([InvalidRequest, InvalidSpec]),
    violations=st.lists(st.builds(Violation, TEXTS, TEXTS, TEXTS), max_size=5).map(tuple),
)
def test_violations_survive_the_status_letter_by_letter(kind, violations):
    told = from_rpc_error(Answer(to_status(kind(violations))), "address")

    assert (type(told), told.violations) == (kind, violations)


@pytest.mark.parametrize("count", [100, 1000])
async def test_more_violations_than_trailers_hold_are_told_in_part_and_counted(
    runs, service, refusal, count
):
    service.errors = [
        InvalidSpec(Violation(f"groups[{i}].lr", "-1", "greater than 0") for i in range(count))
    ]

    refused = await refusal(runs.GetRun(GET))

    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    told = len(refused.violations) - 1
    assert refused.violations["…"] == f"and {count - told} more"
    assert told > 30


@pytest.mark.parametrize("letter", ["x", "ü", "\N{SNOWMAN}", "\ud800"])
async def test_texts_longer_than_trailers_hold_are_cut(runs, service, refusal, letter):
    endless = letter * 100_000
    service.errors = [InvalidSpec([Violation(endless, endless, endless)]), NotFound(endless)]

    for code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND):
        refused = await refusal(runs.GetRun(GET))

        assert refused.code is code
        assert refused.message.endswith("…")


@pytest.mark.parametrize("method", ["GetRun", "WatchRun", "ExportRun"])
async def test_a_mistake_of_the_daemon_is_logged_and_its_traceback_stays_there(
    runs, service, refusal, method
):
    service.errors = [ZeroDivisionError("secret")]

    with capture_logs() as logs:
        request = getattr(runs_pb2, f"{method}Request")(run="digits")
        refused = await refusal(getattr(runs, method)(request))

    assert refused.code is grpc.StatusCode.INTERNAL
    assert "secret" not in refused.message
    assert [(one["event"], one["rpc"], one["exc_info"]) for one in logs] == [
        ("rpc.failed", method, True)
    ]


async def test_a_stream_can_fail_after_its_first_answers(runs, service, refusal):
    async def export_run(run, *, undone=None):
        yield service.rows[0]
        raise errors.StorageFailed("disk gone")

    service.export_run = export_run
    stream = runs.ExportRun(runs_pb2.ExportRunRequest(run="digits"))

    assert (await stream.read()).rows.count == 2
    assert (await refusal(stream)).message == "disk gone"


class Gone:
    """The context of a call whose caller has hung up."""

    async def abort_with_status(self, _):
        raise grpc.aio.InternalError('Failed "execute_batch"')


async def test_a_caller_who_has_hung_up_needs_no_answer():
    with pytest.raises(asyncio.CancelledError):
        await abort(Gone(), MISTAKE)
