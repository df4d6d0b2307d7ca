"""What adalrs does with a loss that depends on the LR."""

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat_policies import AdaLRS, GroupInfo, Observation, RunInfo
from rheostat_policies.feedback.slope import empty_sums, line_through, with_value

RUN = RunInfo(name="a", steps=10_000, groups=(GroupInfo(name="default", parameters=10),))


def play(policy: AdaLRS, best_factor: float, steps: int, noise: float = 0.0) -> list[float]:
    """Factors of a run whose loss falls fastest at one factor, and slower by its distance in logs.

    At e times the best factor, or a part of it, the loss does not fall at all; beyond, it rises.
    """
    dice = random.Random(0)
    state: Any = policy.initial_state(RUN)
    loss, factor, factors = 100.0, 1.0, []
    for step in range(steps):
        loss -= 0.01 * (1 - np.log(factor / best_factor) ** 2)
        seen = Observation(
            step=step,
            steps=steps,
            train_loss=float(loss + dice.gauss(0, noise)),
            factor={"default": factor},
        )
        action, state = policy.decide(state, seen)
        if isinstance(action.factor, float):
            factor = action.factor
        factors.append(factor)
    return factors


@pytest.mark.parametrize("best_factor", [0.3, 0.6, 1.0, 1.8, 3.0])
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_it_finds_the_factor_at_which_the_loss_falls_fastest(
    best_factor: float, noise: float
) -> None:
    factors = play(AdaLRS(window=50, settle=5), best_factor, steps=6000, noise=noise)

    assert factors[-1] == pytest.approx(best_factor, rel=0.25)


def test_a_trial_that_is_not_faster_is_taken_back_and_the_other_way_is_tried() -> None:
    factors = play(AdaLRS(window=10, settle=2, step=1.5), best_factor=1.0, steps=48)

    changes = [new for old, new in zip([1.0, *factors], factors, strict=False) if new != old]
    assert changes == [1.5, 1.0, 1 / 1.5, 1.0]


def test_the_search_ends_when_trials_become_too_small_to_matter() -> None:
    factors = play(AdaLRS(window=5, settle=0, decay=0.3), best_factor=1.0, steps=400)

    assert set(factors[-300:]) == {1.0}


def test_a_trial_in_which_the_loss_leaps_up_is_given_up_at_once() -> None:
    policy = AdaLRS(window=10, settle=0)
    state: Any = policy.initial_state(RUN)
    acted = []
    for step in range(14):
        loss = 1.0 - 0.01 * step if step < 12 else 50.0
        seen = Observation(step=step, steps=100, train_loss=loss)
        action, state = policy.decide(state, seen)
        if action.factor is not None:
            acted.append((step, action.factor, action.reason))

    assert [(step, factor) for step, factor, _ in acted] == [(9, 1.5), (12, 1.0)]
    assert "loss 50 is out of hand" in acted[1][2]


def test_a_direction_without_room_is_not_tried() -> None:
    factors = play(AdaLRS(window=10, settle=0, max_factor=1.0), best_factor=3.0, steps=200)

    assert max(factors) == 1.0


@given(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=50))
def test_the_line_is_the_one_numpy_fits(values: list[float]) -> None:
    sums = empty_sums()
    for value in values:
        sums = with_value(sums, value)

    line = line_through(sums)

    slope, level = np.polyfit(np.arange(len(values)), values, 1)
    residuals = values - (level + slope * np.arange(len(values)))
    spread = ((np.arange(len(values)) - (len(values) - 1) / 2) ** 2).sum()
    error = np.sqrt((residuals**2).sum() / (len(values) - 2) / spread)
    assert line.slope == pytest.approx(slope, rel=1e-6, abs=1e-8)
    assert line.error == pytest.approx(error, rel=1e-4, abs=1e-3)
    assert line.mean == pytest.approx(np.mean(values), rel=1e-9, abs=1e-9)
    assert line.deviation == pytest.approx(np.std(values), rel=1e-4, abs=1e-3)


@pytest.mark.parametrize(
    ("args", "field"),
    [
        ({"window": 2}, "window=2"),
        ({"settle": -1}, "settle=-1"),
        ({"step": 1.0}, "step=1.0"),
        ({"decay": 1.0}, "decay=1.0"),
        ({"significance": -1.0}, "significance=-1.0"),
        ({"min_factor": 0.0}, "min_factor=0.0"),
        ({"max_factor": 0.5}, "max_factor=0.5"),
    ],
)
def test_an_argument_out_of_range_is_named_with_its_value(args: Any, field: str) -> None:
    with pytest.raises(ValueError, match=field):
        AdaLRS(**args)
