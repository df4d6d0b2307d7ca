"""Greedy is GreedyLR of transformers, with bounds that fit every LR."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rheostat_policies import Greedy, GroupInfo, Observation, RunInfo

RUN = RunInfo(name="a", steps=1000, groups=(GroupInfo(name="default", parameters=10),))
# Multiples of 1/64, whose sums are exact: transformers keeps a running one, Greedy does not.
VALUE = st.integers(-256, 256).map(lambda k: k / 64)
# Falling, flat and rising stretches, so that factors reach their bounds and stay there.
STRETCHES = st.lists(
    st.tuples(VALUE, st.sampled_from([-0.5, 0.0, 0.5]), st.integers(1, 15)), max_size=10
)
VALUES = STRETCHES.map(
    lambda stretches: [
        start + slope * step for start, slope, length in stretches for step in range(length)
    ]
)
ARGS = st.fixed_dictionaries(
    {
        "mode": st.sampled_from(["min", "max"]),
        "factor": st.floats(0.3, 0.97),
        "patience": st.integers(0, 3),
        "threshold": st.sampled_from([0.0, 1e-6, 0.25]),
        "threshold_mode": st.sampled_from(["rel", "abs"]),
        "cooldown": st.integers(0, 3),
        "warmup": st.integers(0, 3),
        "smooth": st.booleans(),
        "window_size": st.integers(1, 6),
        "reset_start": st.integers(1, 4),
    }
)


def factors_of(policy: Greedy, values: list[float]) -> list[float]:
    """The factor after each value of the training loss."""
    state: Any = policy.initial_state(RUN)
    factor, factors = 1.0, []
    for step, value in enumerate(values):
        seen = Observation(step=step, steps=1000, train_loss=value, factor={"default": factor})
        action, state = policy.decide(state, seen)
        if isinstance(action.factor, float):
            factor = action.factor
        factors.append(factor)
    return factors


@given(
    args=ARGS,
    lr=st.sampled_from([1.0, 2.0**-14]),
    low=st.sampled_from([0.01, 0.5, 1.0]),
    high=st.sampled_from([1.0, 1.5, 100.0]),
    values=VALUES,
)
@settings(deadline=None, max_examples=300)
def test_it_gives_the_lr_of_transformers_after_every_value(
    args: dict[str, Any], lr: float, low: float, high: float, values: list[float]
) -> None:
    optimization = pytest.importorskip("transformers.optimization")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = optimization.GreedyLR(optimizer, min_lr=low * lr, max_lr=high * lr, eps=0.0, **args)
    expected = []
    for value in values:
        scheduler.step(value)
        expected.append(optimizer.param_groups[0]["lr"])

    factors = factors_of(Greedy(min_factor=low, max_factor=high, **args), values)

    assert [lr * factor for factor in factors] == expected


def test_a_small_lr_can_be_lowered() -> None:
    factors = factors_of(Greedy(patience=1, factor=0.5), [1.0] * 7)

    assert factors == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125], "whatever the schedule's LR is"


def test_it_rises_while_the_loss_falls_and_falls_while_it_does_not() -> None:
    policy = Greedy(patience=1, factor=0.5, max_factor=3.0)

    factors = factors_of(policy, [6.0, 5.0, 4.0, 3.0, 3.0, 3.0])

    assert factors == [1.0, 2.0, 2.0, 3.0, 3.0, 1.5]


def test_cuts_at_the_floor_end_in_a_fresh_start() -> None:
    policy = Greedy(patience=0, factor=0.5, min_factor=0.5, reset_start=3)

    factors = factors_of(policy, [1.0, 2.0, 2.0, 2.0, 2.0])

    assert factors == [2.0, 1.0, 0.5, 0.5, 1.0]


def test_a_loss_that_is_not_finite_is_bad_once_and_does_not_stay_in_the_average() -> None:
    policy = Greedy(patience=0, factor=0.5, smooth=True, window_size=2)

    factors = factors_of(policy, [4.0, float("nan"), 3.0, 2.0])

    assert factors == [2.0, 1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("args", "field"),
    [
        ({"factor": 0.0}, "factor=0.0"),
        ({"patience": -1}, "patience=-1"),
        ({"cooldown": -1}, "cooldown=-1"),
        ({"warmup": -1}, "warmup=-1"),
        ({"min_factor": 0.0}, "min_factor=0.0"),
        ({"max_factor": 0.5}, "max_factor=0.5"),
        ({"window_size": 0}, "window_size=0"),
        ({"reset_start": 0}, "reset_start=0"),
        ({"metric": "loss"}, "metric=loss"),
    ],
)
def test_an_argument_out_of_range_is_named_with_its_value(args: Any, field: str) -> None:
    with pytest.raises(ValueError, match=field):
        Greedy(**args)
