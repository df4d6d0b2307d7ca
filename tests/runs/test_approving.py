"""Changes that wait for a second principal, without a run."""

import asyncio
import math

import pytest

from rheostat.errors import FailedPrecondition, NotFound, PermissionDenied, ResourceExhausted
from rheostat.runs.approving import MAX_HELD, Approvals, Terms, ratio_of
from rheostat.steering.records import Change, Decision, GroupChange, Verb

TERMS = Terms(ratio=2.0, expires_seconds=60.0)
SHORT = Terms(ratio=2.0, expires_seconds=0.01)


def wish(request_id="r", value=0.1, principal="ada"):
    return Change(verb=Verb.SCALE, value=value, request_id=request_id, principal=principal)


@pytest.fixture
def approvals():
    return Approvals(lambda run: TERMS, clock=lambda: 1000.0)


def moved(*pairs):
    groups = (GroupChange(name=str(old), old=old, new=new, base=1.0) for old, new in pairs)
    return Decision(revision=1, applied_step=1, source="operator", groups=tuple(groups))


@pytest.mark.parametrize(
    ("pairs", "ratio"),
    [
        ([(1.0, 1.0)], 1.0),
        ([(1.0, 2.0)], 2.0),
        ([(2.0, 0.5)], 4.0),
        ([(1.0, 1.5), (1.0, 0.25)], 4.0),
        ([(1.0, 0.0)], math.inf),
        ([(0.0, 1.0)], math.inf),
        ([(0.0, 0.0)], 1.0),
        ([], 1.0),
    ],
)
def test_a_change_is_as_large_as_the_largest_move_of_a_group_up_or_down(pairs, ratio):
    assert ratio_of(moved(*pairs)) == ratio


async def test_another_approves_once_and_both_names_are_kept(approvals):
    approvals.hold("digits", wish(), 10.0, TERMS)
    [told] = approvals.list("digits")
    held = approvals.approve("digits", "r", "bob")

    assert (told.principal, told.ratio, told.expires_at) == ("ada", 10.0, 1060.0)
    assert (held.change.principal, held.change.approved_by) == ("ada", "bob")
    assert approvals.list("digits") == []
    with pytest.raises(NotFound, match="'r' of run digits waits"):
        approvals.approve("digits", "r", "bob")


async def test_nobody_approves_what_they_asked_for(approvals):
    approvals.hold("digits", wish(), 10.0, TERMS)
    with pytest.raises(PermissionDenied, match="ada asked for this change; another must"):
        approvals.approve("digits", "r", "ada")

    assert len(approvals.list("digits")) == 1


async def test_a_change_of_one_run_is_not_approved_by_the_name_of_another(approvals):
    approvals.hold("digits", wish(), 10.0, TERMS)
    with pytest.raises(NotFound):
        approvals.approve("other", "r", "bob")


async def test_the_same_request_waits_once_and_a_different_one_needs_another_key(approvals):
    first = approvals.hold("digits", wish(), 10.0, TERMS)

    assert approvals.hold("digits", wish(), 10.0, TERMS) is first
    with pytest.raises(FailedPrecondition, match="used for a different change"):
        approvals.hold("digits", wish(value=0.2), 5.0, TERMS)


async def test_what_nobody_approves_expires_and_whoever_waits_is_told(approvals):
    held = approvals.hold("digits", wish(), 10.0, SHORT)
    with pytest.raises(FailedPrecondition, match="nobody approved the change of run digits"):
        await held.answer

    assert approvals.list("digits") == []


async def test_what_was_approved_does_not_expire_nor_does_the_next_with_its_key(approvals):
    approvals.hold("digits", wish(), 10.0, SHORT)
    held = approvals.approve("digits", "r", "bob")
    approvals.hold("digits", wish(), 10.0, TERMS)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await asyncio.shield(held.answer)

    assert len(approvals.list("digits")) == 1


async def test_not_more_than_a_hundred_wait(approvals):
    for number in range(MAX_HELD):
        approvals.hold("digits", wish(f"r-{number}"), 10.0, TERMS)
    with pytest.raises(ResourceExhausted, match=f"{MAX_HELD} changes of run digits wait"):
        approvals.hold("digits", wish("one more"), 10.0, TERMS)


@pytest.mark.parametrize("fails", [False, True])
async def test_whoever_asked_gets_the_answer_though_the_second_person_has_gone(approvals, fails):
    approvals.hold("digits", wish(), 10.0, TERMS)
    held = approvals.approve("digits", "r", "bob")
    carried = asyncio.get_running_loop().create_future()
    held.follow(carried)
    if fails:
        carried.set_exception(FailedPrecondition("too late"))
        with pytest.raises(FailedPrecondition, match="too late"):
            await held.answer
    else:
        carried.set_result(moved((1.0, 0.1)))
        assert await held.answer == moved((1.0, 0.1))
