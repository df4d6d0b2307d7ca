"""Who gets a successor, and when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.runs.records import Failure, FieldViolation
from rheostat.runs.restarting import Death, RestartPolicy, TrackRecord

POLICY = RestartPolicy(max_restarts=3, first_delay=1.0, longest_delay=60.0)


def death(step, reason="killed", *, has_stepped=True, **failure):
    failure = Failure(message="it died", **failure)
    return Death(reason=reason, failure=failure, step=step, has_stepped=has_stepped)


def delays(policy, steps):
    """Return the delay after each death in a row, up to the one that ends the run."""
    record, told = TrackRecord(), []
    for step in steps:
        record, delay = policy.judge(record, death(step))
        told.append(delay)
        if delay is None:
            break
    return told


def test_a_trainer_that_gets_no_farther_is_replaced_ever_later_and_then_no_more():
    assert delays(POLICY, [100, 100, 90, 100, 100]) == [1.0, 1.0, 2.0, 4.0, None]


def test_whoever_gets_farther_starts_counting_anew():
    assert delays(POLICY, [10, 10, 10, 20, 20, 20, 20, 20]) == [1, 1, 2, 1, 1, 2, 4, None]


def test_no_delay_is_longer_than_the_longest():
    policy = RestartPolicy(max_restarts=20, longest_delay=8.0)

    assert delays(policy, [0] * 6) == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_a_daemon_that_restarts_nobody_does_not():
    assert delays(RestartPolicy(max_restarts=0), [100]) == [None]


@given(
    steps=st.lists(st.integers(0, 50), min_size=1, max_size=60),
    max_restarts=st.integers(0, 5),
)
def test_no_more_than_the_allowed_number_die_in_a_row_without_progress(steps, max_restarts):
    policy = RestartPolicy(max_restarts=max_restarts)
    told = delays(policy, steps)

    record, row = 0, 0
    for step, delay in zip(steps, told, strict=False):
        row = 0 if step > record else row + 1
        record = max(record, step)
        assert (delay is None) == (row > max_restarts or max_restarts == 0)
        assert delay is None or 0 < delay <= policy.longest_delay


@pytest.mark.parametrize(
    "last",
    [
        death(0, "failed", has_stepped=False, kind="RuntimeError"),
        death(0, "exited", has_stepped=False),
        death(500, "failed", kind="NonFiniteLoss"),
        death(
            0, "failed", violations=(FieldViolation(field="data", value="", expected="a folder"),)
        ),
    ],
)
def test_what_would_only_happen_again_ends_the_run(last):
    assert POLICY.judge(TrackRecord(), last)[1] is None


@pytest.mark.parametrize(
    "last",
    [
        death(0, "killed", has_stepped=False),
        death(0, "lost", has_stepped=False),
        death(500, "failed", kind="OSError"),
        death(500, "exited"),
    ],
)
def test_what_may_have_come_from_elsewhere_is_tried_again(last):
    assert POLICY.judge(TrackRecord(), last)[1] is not None
