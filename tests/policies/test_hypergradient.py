"""What hypergradient does with the agreement of gradients."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rheostat_policies import GroupInfo, Hypergradient, Observation, RunInfo

RUN = RunInfo(name="a", steps=1000, groups=(GroupInfo(name="default", parameters=2),))


def see(step: int, cosine: float | None, factor: float) -> Observation:
    return Observation(
        step=step,
        steps=1000,
        train_loss=1.0,
        gradient_alignment=cosine,
        factor={"default": factor},
    )


def play(policy: Hypergradient, cosines: list[float | None]) -> list[float]:
    """The factor after each step."""
    state: Any = policy.initial_state(RUN)
    factor, factors = 1.0, []
    for step, cosine in enumerate(cosines):
        action, state = policy.decide(state, see(step, cosine, factor))
        if isinstance(action.factor, float):
            factor = action.factor
        factors.append(factor)
    return factors


@given(st.lists(st.floats(-1, 1), max_size=50))
def test_it_is_the_papers_product_applied_every_so_many_steps(cosines: list[float]) -> None:
    factors = play(Hypergradient(beta=0.02, every=5), list(cosines))

    for step, factor in enumerate(factors):
        applied = cosines[: (step + 1) // 5 * 5]
        assert factor == pytest.approx(math.prod(1 + 0.02 * cosine for cosine in applied))


def test_steps_without_a_measurement_are_not_counted() -> None:
    factors = play(Hypergradient(beta=0.1, every=2), [None, 1.0, None, math.nan, 1.0, None])

    assert factors == [1.0, 1.0, 1.0, 1.0, pytest.approx(1.21), pytest.approx(1.21)]


def test_it_raises_an_lr_that_is_too_low_and_lowers_one_that_is_too_high() -> None:
    for lr, direction in ((1e-3, 1), (1.9, -1)):
        policy = Hypergradient(beta=0.05, every=1, min_factor=0.01, max_factor=1e4)
        state: Any = policy.initial_state(RUN)
        weights = torch.tensor([3.0, -2.0])  # the loss is |weights|^2 / 2: stable below an LR of 2
        before, factor = None, 1.0
        for step in range(20):
            cosine = None
            if before is not None:
                cosine = float(torch.cosine_similarity(weights, before, dim=0))
            action, state = policy.decide(state, see(step, cosine, factor))
            if isinstance(action.factor, float):
                factor = action.factor
            before, weights = weights, weights - lr * factor * weights

        assert (factor > 1) == (direction > 0)


@pytest.mark.parametrize(
    ("args", "field"),
    [
        ({"beta": 1.0}, "beta=1.0"),
        ({"every": 0}, "every=0"),
        ({"min_factor": 0.0}, "min_factor=0.0"),
        ({"max_factor": 0.5}, "max_factor=0.5"),
    ],
)
def test_an_argument_out_of_range_is_named_with_its_value(args: Any, field: str) -> None:
    with pytest.raises(ValueError, match=field):
        Hypergradient(**args)
