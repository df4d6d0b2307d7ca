"""Torch's schedules that multiply the LR equal torch's own, at every step."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler
from torch.optim.swa_utils import SWALR

from rheostat_policies import SCHEDULES, ScheduleRun

LRS = st.floats(1e-8, 1e3)
STEPS = st.integers(1, 100)
COUNTS = st.integers(1, 60)
SHARES = st.floats(0.01, 1)


def a_run(lr: float, steps: int) -> ScheduleRun:
    return ScheduleRun(lr=lr, steps=steps, steps_per_epoch=10)


def halve_now_and_then(step: int) -> float:
    return 0.5 if step % 7 == 0 else 1.01


CASES: dict[str, tuple[Any, st.SearchStrategy[dict[str, Any]]]] = {
    "LambdaLR": (lr_scheduler.LambdaLR, st.just({"lr_lambda": halve_now_and_then})),
    "MultiplicativeLR": (lr_scheduler.MultiplicativeLR, st.just({"lr_lambda": halve_now_and_then})),
    "MultiStepLR": (
        lr_scheduler.MultiStepLR,
        st.fixed_dictionaries(
            {"milestones": st.lists(COUNTS, max_size=5), "gamma": st.floats(0.1, 2)}
        ),
    ),
    "ConstantLR": (
        lr_scheduler.ConstantLR,
        st.fixed_dictionaries({"factor": SHARES, "total_iters": COUNTS}),
    ),
    "LinearLR": (
        lr_scheduler.LinearLR,
        st.fixed_dictionaries(
            {"start_factor": SHARES, "end_factor": st.floats(0, 1), "total_iters": COUNTS}
        ),
    ),
    "ExponentialLR": (
        lr_scheduler.ExponentialLR,
        st.fixed_dictionaries({"gamma": st.floats(0.5, 1.5)}),
    ),
    "PolynomialLR": (
        lr_scheduler.PolynomialLR,
        st.fixed_dictionaries({"total_iters": COUNTS, "power": st.floats(0.1, 5)}),
    ),
    "SWALR": (
        SWALR,
        st.fixed_dictionaries(
            {
                "swa_lr": st.floats(0, 1e3),
                "anneal_epochs": st.integers(0, 60),
                "anneal_strategy": st.sampled_from(["cos", "linear"]),
            }
        ),
    ),
}


@pytest.mark.parametrize("name", CASES)
@given(data=st.data(), lr=LRS, steps=STEPS)
def test_the_lr_is_torchs_at_every_step(
    torch_says: Any, name: str, data: st.DataObject, lr: float, steps: int
) -> None:
    theirs, arguments = CASES[name]
    args = data.draw(arguments)
    expected = torch_says(lambda optimizer: theirs(optimizer, **args), lr, steps)

    curve = SCHEDULES[name](a_run(lr, steps), **args)

    # Most of torch's recompute the LR from the one before, so it drifts away from their formula.
    peak = max(lr, args.get("swa_lr", 0.0))
    for step, (theirs_now, _) in enumerate(expected):
        assert curve.learning_rate(step) == pytest.approx(theirs_now, rel=1e-9, abs=1e-12 * peak)


@pytest.mark.parametrize("name", ["MultiStepLR", "ConstantLR", "LinearLR", "PolynomialLR"])
@given(data=st.data(), lr=LRS, steps=STEPS)
def test_the_lr_is_torchs_closed_form_to_twelve_digits(
    torch_says: Any,
    assert_same_lr: Any,
    name: str,
    data: st.DataObject,
    lr: float,
    steps: int,
) -> None:
    theirs, arguments = CASES[name]
    args = data.draw(arguments)
    made: list[Any] = []
    torch_says(lambda optimizer: made.append(theirs(optimizer, **args)), lr, 1)
    [scheduler] = made
    expected = []
    for step in range(steps):
        scheduler.last_epoch = step
        expected += scheduler._get_closed_form_lr()

    assert_same_lr(SCHEDULES[name](a_run(lr, steps), **args), expected, lr)


def test_constant_lr_may_hold_the_lr_at_nothing_where_torch_divides_by_zero() -> None:
    curve = SCHEDULES["ConstantLR"](a_run(1.0, 10), factor=0.0, total_iters=3)

    assert [curve.learning_rate(step) for step in range(5)] == [0.0, 0.0, 0.0, 1.0, 1.0]


def test_multiplicative_lr_stays_past_the_planned_end() -> None:
    curve = SCHEDULES["MultiplicativeLR"](a_run(1.0, 3), lr_lambda=lambda step: 0.5)

    assert curve.learning_rate(10**12) == curve.learning_rate(3) == 0.125


def test_growth_ends_at_a_finite_lr() -> None:
    curve = SCHEDULES["ExponentialLR"](a_run(1.0, 10), gamma=2.0)

    assert curve.learning_rate(10**9) == 1e300
