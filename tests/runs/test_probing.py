"""What follows from the losses of a probe."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.errors import InvalidRequest
from rheostat.runs.messages import Probed
from rheostat.runs.probing import check, end_loss, report_of, steepest_of


def found(losses, guardrails=None):
    return Probed(
        command_id=1,
        step=7,
        losses=tuple(losses),
        used=({},) * len(losses),
        guardrails=guardrails or ((),) * len(losses),
        seconds=0.5,
    )


def test_the_loss_at_the_end_is_the_mean_over_the_last_quarter():
    assert end_loss([9, 8, 7, 6, 5, 4, 3, 1], 8) == 2.0
    assert end_loss([3, 2], 2) == 2.0


@pytest.mark.parametrize("losses", [[], [1.0], [1.0, math.nan], [1.0, math.inf]])
def test_a_trial_that_ended_early_or_not_finite_has_none(losses):
    assert end_loss(losses, 2) is None


def test_the_steepest_lr_is_where_the_loss_falls_fastest_and_not_where_it_is_lowest():
    rates = [10.0**power for power in range(-6, 1)]
    ends = dict(zip(rates, [2.0, 1.98, 1.9, 1.2, 0.9, 0.8, 5.0], strict=True))

    assert steepest_of(ends) == 1e-3


@given(st.lists(st.floats(0, 10), min_size=3, max_size=12))
def test_the_steepest_lr_was_tried_and_the_loss_falls_there(losses):
    ends = {10.0**index: loss for index, loss in enumerate(losses)}
    steepest = steepest_of(ends)

    assert steepest is None or steepest in ends
    if losses == sorted(losses):
        assert steepest is None


def test_nothing_is_suggested_where_nothing_is_known():
    report = report_of(found([(2.0, math.nan)] * 3), [1.0, 2.0, 3.0], 2, ("default",))

    assert (report.lowest, report.steepest) == (None, None)
    assert steepest_of({1.0: 2.0, 2.0: 1.0}) is None


def test_an_lr_that_a_guardrail_bent_is_not_suggested():
    losses = [(2.0, 1.5), (2.0, 1.0), (2.0, 0.5)]
    report = report_of(found(losses, ((), (), ("max_lr",))), [0.1, 0.2, 9.0], 2, ("default",))

    assert report.lowest == 0.2
    assert [trial.guardrails for trial in report.trials] == [(), (), ("max_lr",)]


@pytest.mark.parametrize(
    ("rates", "steps"), [([], 5), ([0.1] * 33, 5), ([0.1], 1), ([0.1], 10_001), ([0.1] * 32, 313)]
)
def test_what_is_too_much_or_too_little_is_refused(rates, steps):
    with pytest.raises(InvalidRequest):
        check(rates, steps, (), ("default",))


def test_the_most_that_can_be_tried_is_let_in():
    check([0.1] * 32, 312, ("default",), ("default",))
    check([0.1], 10_000, (), ("default",))
