"""A policy is two pure functions, so its tests need neither torch nor a run."""

import json

import pytest
from rheostat_policies import KEEP, GroupInfo, Observation, RunInfo

from rheostat_spirals.policy import SlopeBrake

RUN = RunInfo(name="test", steps=1000, groups=(GroupInfo(name="default", parameters=10),))


def factors(policy, losses):
    """Return the factor after each loss; the state goes through JSON, as in a checkpoint."""
    state, factor, found = policy.initial_state(RUN), 1.0, []
    for step, loss in enumerate(losses):
        state = json.loads(json.dumps(state))
        observation = Observation(
            step=step, steps=1000, train_loss=loss, factor={"default": factor}
        )
        action, state = policy.decide(state, observation)
        factor = factor if action is KEEP else action.factor["default"]
        found.append(factor)
    return found


def test_a_loss_that_stands_still_cuts_the_factor_after_each_window():
    assert factors(SlopeBrake(window=3, cut=0.5), [2.0] * 7) == [1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]


def test_a_loss_that_falls_enough_is_left_alone():
    falling = [0.97**step for step in range(50)]

    assert factors(SlopeBrake(window=5, min_fall=0.1), falling) == [1.0] * 50


def test_a_loss_that_falls_too_slowly_is_not():
    falling = [0.99**step for step in range(5)]

    assert factors(SlopeBrake(window=5, min_fall=0.1, cut=0.5), falling)[-1] == 0.5


def test_the_factor_stays_above_its_floor():
    assert factors(SlopeBrake(window=2, cut=0.1, floor=0.05), [1.0] * 8)[-1] == 0.05


def test_the_reason_says_what_was_seen():
    policy, state = SlopeBrake(window=2), {"count": 1, "loss": 1.0, "moment": 0.0}
    rising = Observation(step=1, steps=1000, train_loss=3.0, factor={"default": 1.0})

    action, _ = policy.decide(state, rising)

    assert action.reason == "the loss rose by 200.0% in 2 steps"
    assert action.ramp_steps == 20


def test_the_state_given_is_never_changed():
    policy, state = SlopeBrake(), SlopeBrake().initial_state(RUN)

    policy.decide(state, Observation(step=0, steps=1000, train_loss=1.0))

    assert state == policy.initial_state(RUN)


@pytest.mark.parametrize(
    ("name", "value"),
    [("window", 1), ("min_fall", -1.0), ("cut", 1.0), ("floor", 0.0), ("ramp_steps", 0)],
)
def test_an_argument_out_of_range_is_named_with_its_value(name, value):
    with pytest.raises(ValueError, match=f"{name}={value} must be"):
        SlopeBrake(**{name: value})
