"""What loss_spike does with a loss curve."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat_policies import Action, GroupInfo, LossSpike, Observation, Restore, RunInfo

RUN = RunInfo(name="a", steps=1000, groups=(GroupInfo(name="default", parameters=10),))


def play(policy: LossSpike, losses: list[float]) -> list[tuple[int, Action]]:
    """Show a policy a loss curve; return its actions that change something, by step."""
    state: Any = policy.initial_state(RUN)
    factor, acted = 1.0, []
    for step, loss in enumerate(losses):
        seen = Observation(step=step, steps=1000, train_loss=loss, factor={"default": factor})
        action, state = policy.decide(state, seen)
        if isinstance(action.factor, float):
            factor = action.factor  # the test has no ramps: arrive at once
            acted.append((step, action))
    return acted


def test_a_calm_loss_is_left_alone() -> None:
    assert play(LossSpike(), [1.0 / (1 + step) + 1.0 for step in range(300)]) == []


def test_a_spike_cuts_then_holds_then_ramps_back() -> None:
    policy = LossSpike(threshold=2.0, cut=0.5, hold_steps=10, ramp_steps=40)

    (cut_at, cut), (back_at, back) = play(policy, [1.0] * 50 + [5.0] + [1.0] * 50)

    assert (cut_at, cut.factor, cut.ramp_steps) == (50, 0.5, 1)
    assert "5" in cut.reason
    assert (back_at, back.factor, back.ramp_steps) == (60, 1.0, 40)


def test_spikes_during_the_hold_prolong_it_and_do_not_cut_again() -> None:
    policy = LossSpike(threshold=2.0, hold_steps=10)

    acted = play(policy, [1.0] * 50 + [5.0, 1.0, 5.0] + [1.0] * 30)

    assert [step for step, _ in acted] == [50, 62]


def test_a_spike_on_the_way_back_cuts_from_where_the_factor_is() -> None:
    policy = LossSpike(threshold=2.0, cut=0.5, hold_steps=1, floor=0.1)
    state: Any = {**policy.initial_state(RUN), "ema": 1.0, "weight": 1.0, "seen": 50}
    seen = Observation(step=60, steps=1000, train_loss=9.0, factor={"default": 0.8})

    action, _ = policy.decide(state, seen)

    assert action.factor == pytest.approx(0.4)


def test_the_factor_never_falls_below_the_floor() -> None:
    policy = LossSpike(threshold=2.0, cut=0.5, hold_steps=0, floor=0.3)
    losses = [1.0] * 50 + [9.0, 1.0, 1.0] * 8

    factors = [action.factor for _, action in play(policy, losses)]

    assert min(factor for factor in factors if isinstance(factor, float)) >= 0.3


def test_a_loss_that_stays_high_becomes_the_new_normal() -> None:
    policy = LossSpike(threshold=2.0, hold_steps=10, ramp_steps=1)

    acted = play(policy, [1.0] * 50 + [5.0] * 200)

    assert acted[0][0] == 50
    assert len(acted) == 2, "one cut and one way back"


def test_the_first_steps_only_feed_the_average() -> None:
    assert play(LossSpike(warmup_steps=20), [1.0] * 10 + [50.0] + [1.0] * 5) == []


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_a_spike_and_leaves_the_average_alone(bad: float) -> None:
    policy = LossSpike(threshold=2.0, hold_steps=5, warmup_steps=20)

    during_warmup = play(policy, [1.0] * 10 + [bad] + [1.0] * 50)
    after_it = play(policy, [1.0] * 50 + [bad] + [1.0] * 50)

    assert during_warmup == []
    assert [step for step, _ in after_it] == [50, 55]


@given(st.lists(st.floats(0, 1e6), max_size=200))
def test_any_losses_keep_the_factor_between_floor_and_one(losses: list[float]) -> None:
    for _, action in play(LossSpike(hold_steps=3, warmup_steps=1), losses):
        assert isinstance(action.factor, float)
        assert 0.1 <= action.factor <= 1.0


@pytest.mark.parametrize(
    ("args", "field"),
    [
        ({"threshold": 1.0}, "threshold=1.0"),
        ({"cut": 1.0}, "cut=1.0"),
        ({"hold_steps": -1}, "hold_steps=-1"),
        ({"ramp_steps": 0}, "ramp_steps=0"),
        ({"decay": 1.0}, "decay=1.0"),
        ({"warmup_steps": 0}, "warmup_steps=0"),
        ({"floor": 0.0}, "floor=0.0"),
    ],
)
def test_an_argument_out_of_range_is_named_with_its_value(args: Any, field: str) -> None:
    with pytest.raises(ValueError, match=field):
        LossSpike(**args)


def go_back(policy: LossSpike, losses: list[float]) -> list[tuple[int, Action]]:
    """As `play`, where whoever is asked to goes back, so that the steps are counted anew."""
    state: Any = policy.initial_state(RUN)
    factor, step, acted = 1.0, 0, []
    for loss in losses:
        seen = Observation(step=step, steps=1000, train_loss=loss, factor={"default": factor})
        action, state = policy.decide(state, seen)
        if isinstance(action.factor, float):
            factor = action.factor
            acted.append((step, action))
        if action.restore is not None:
            step = max(-1, step - action.restore.back_steps)
        step += 1
    return acted


def test_a_spike_takes_the_model_back_around_its_batches_and_cuts_from_there_on() -> None:
    policy = LossSpike(threshold=2.0, hold_steps=10, ramp_steps=40, back_steps=20, skip_beyond=3)

    (cut_at, cut), (back_at, back) = go_back(policy, [1.0] * 50 + [5.0] + [1.0] * 80)

    assert (cut_at, cut.factor, cut.restore) == (50, 0.5, Restore(back_steps=20, skip_beyond=3))
    assert "back 20 steps" in cut.reason
    assert (back_at, back.factor, back.ramp_steps, back.restore) == (60, 1.0, 40, None)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("seen", [0, 50])
def test_a_loss_that_is_not_finite_takes_it_back_however_early(bad: float, seen: int) -> None:
    policy = LossSpike(back_steps=5)

    acted = go_back(policy, [1.0] * seen + [bad])

    assert [action.restore for _, action in acted] == [Restore(back_steps=5)]
    assert policy.mends_non_finite


def test_it_goes_back_no_oftener_than_it_may_and_deeper_each_time() -> None:
    policy = LossSpike(threshold=2.0, hold_steps=3, back_steps=5, restores=2, floor=0.2)

    acted = go_back(policy, [1.0] * 50 + [9.0, 1.0, 9.0, 9.0, 9.0, 9.0])

    assert [action.restore is not None for _, action in acted] == [True, True]
    assert [action.factor for _, action in acted] == [0.5, 0.25]
    assert play(policy, [1.0, math.nan, math.nan, math.nan])[2:] == []


def test_without_steps_to_go_back_it_mends_nothing() -> None:
    assert not LossSpike().mends_non_finite
