import asyncio
import socket
import time

import msgspec
import pytest

from rheostat import errors
from rheostat.errors import InvalidRequest, InvalidSpec, RheostatError, Unreachable, Violation
from rheostat.steering.records import Change, Verb

HALVE = Change(verb=Verb.SCALE, value=0.5)


@pytest.mark.parametrize(
    "error",
    [
        errors.NotFound("no run is named 'ü'\n"),
        errors.FailedPrecondition("it has ended"),
        errors.RevisionConflict("at revision 3, not 2"),
        errors.ResourceExhausted("too many"),
        errors.DeadlineExceeded("too late"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("method", ["get_run", "watch_run", "export_run"])
async def test_the_error_of_the_daemon_comes_back_as_it_was_raised(ask, service, method, error):
    service.errors = [error]

    with pytest.raises(type(error)) as caught:
        await ask(method, "digits")

    assert (type(caught.value), str(caught.value)) == (type(error), str(error))


@pytest.mark.parametrize("kind", [errors.StorageFailed, errors.BrokenChain])
async def test_a_storage_that_stays_broken_is_told_after_three_attempts(ask, service, kind):
    service.errors = [kind("the state file is gone")] * 3

    with pytest.raises(kind, match="the state file is gone") as caught:
        await ask("get_run", "digits")

    assert type(caught.value) is kind
    assert len(service.asked) == 3


@pytest.mark.parametrize("kind", [InvalidRequest, InvalidSpec])
async def test_violations_come_back_field_by_field(ask, service, kind):
    violations = (
        Violation("data.root", "/a: b", "a folder: it holds the files"),
        Violation("train", "", "a section"),
    )
    service.errors = [kind(violations)]

    with pytest.raises(kind) as caught:
        await ask("create_run", "{}")

    assert type(caught.value) is kind
    assert caught.value.violations == violations


async def test_very_many_violations_still_come_back_as_what_they_are(ask, service):
    service.errors = [InvalidSpec(Violation(f"groups[{i}]", "-1", "no") for i in range(1000))]

    with pytest.raises(InvalidSpec, match=r"…: and \d+ more$"):
        await ask("create_run", "{}")


async def test_a_mistake_of_the_daemon_is_an_error_without_its_traceback(ask, service):
    service.errors = [ZeroDivisionError("secret")]

    with pytest.raises(RheostatError, match="INTERNAL: the daemon made a mistake"):
        await ask("get_run", "digits")


async def test_a_change_without_its_number_is_not_a_change_to_0(ask, service):
    await ask("change_learning_rate", "digits", Change(verb=Verb.SCALE))

    [(_, asked)] = service.asked
    assert asked["change"].value is None


@pytest.mark.parametrize(
    ("method", "arguments", "refused"),
    [
        ("change_learning_rate", (msgspec.structs.replace(HALVE, at_step=2**64),), "at_step"),
        ("list_decisions", (2**63,), "after_revision"),
        ("watch_run", (-(2**63) - 1,), "after_revision"),
    ],
)
async def test_a_number_that_is_too_large_for_the_wire_is_refused(
    ask, service, method, arguments, refused
):
    with pytest.raises(InvalidRequest, match=rf"{refused} = -?\d+: a number of 64 bits"):
        await ask(method, "digits", *arguments)

    assert service.asked == []


@pytest.mark.parametrize(
    ("method", "arguments", "refused"),
    [
        ("get_run", ("na\udcefve",), "run"),
        ("watch_run", ("na\udcefve",), "run"),
        ("create_run", ("name: na\udcefve",), "spec"),
        (
            "change_learning_rate",
            ("digits", msgspec.structs.replace(HALVE, reason="na\udcefve")),
            "reason",
        ),
    ],
)
async def test_a_byte_that_is_not_utf8_is_refused_with_its_field(
    ask, service, method, arguments, refused
):
    """A shell hands such bytes over as they are, and Python makes lone surrogates of them."""
    with pytest.raises(InvalidRequest, match=rf"{refused} = .*na\\udcefve.*without broken char"):
        await ask(method, *arguments)

    assert service.asked == []


@pytest.mark.parametrize("method", ["get_run", "stop_run", "watch_run", "list_decisions"])
async def test_an_absent_daemon_is_told_at_once_with_its_address_and_the_mend(ask, method):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # and nobody listens
        nobody = f"127.0.0.1:{free.getsockname()[1]}"
        start = time.monotonic()

        with pytest.raises(Unreachable, match=f"no daemon answers at {nobody}; start one with"):
            await ask(method, "digits", of=ask.dial(nobody))

    assert time.monotonic() - start < 2


async def test_a_call_that_may_be_repeated_is_repeated_with_the_same_key(ask, service):
    service.errors = [errors.StorageFailed("busy")]

    result = await ask("change_learning_rate", "digits", HALVE)

    first, second = (asked["change"].request_id for _, asked in service.asked)
    assert first == second == result.request_id


@pytest.mark.parametrize("method", ["stop_run", "delete_run"])
async def test_a_call_that_would_be_refused_the_second_time_is_made_once(ask, service, method):
    service.errors = [errors.StorageFailed("busy")]

    with pytest.raises(errors.StorageFailed, match="busy"):
        await ask(method, "digits")

    assert [asked for asked, _ in service.asked] == [method]


async def test_a_change_that_comes_too_late_is_answered_when_asked_for_again(ask, service):
    service.applies = False
    keyed = msgspec.structs.replace(HALVE, request_id="r-1")

    with pytest.raises(errors.DeadlineExceeded, match="the same request_id asks for it again"):
        await ask("change_learning_rate", "digits", keyed, timeout=0.1)
    await asyncio.wait_for(service.given_up.wait(), 5)
    service.applies = True

    result = await ask("change_learning_rate", "digits", keyed)
    assert result.decision.applied_step == 41


async def test_no_time_at_all_is_not_the_usual_time(ask, service):
    service.applies = False

    with pytest.raises(errors.DeadlineExceeded):
        await ask("change_learning_rate", "digits", HALVE, timeout=0)


async def test_the_timeout_of_a_client_holds_for_its_calls(ask, service):
    service.applies = False

    with pytest.raises(errors.DeadlineExceeded):
        await ask("change_learning_rate", "digits", HALVE, of=ask.dial(timeout=0.1))
