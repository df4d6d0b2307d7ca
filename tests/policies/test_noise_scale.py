"""What noise_scale does with noise that grows."""

import math
from typing import Any

import pytest

from rheostat_policies import GroupInfo, NoiseScale, Observation, RunInfo

RUN = RunInfo(name="a", steps=1000, groups=(GroupInfo(name="default", parameters=10),))


def play(policy: NoiseScale, estimates: list[tuple[float | None, float | None]]) -> list[float]:
    """The factor after each step of (signal, noise)."""
    state: Any = policy.initial_state(RUN)
    factor, factors = 1.0, []
    for step, (signal, noise) in enumerate(estimates):
        seen = Observation(
            step=step,
            steps=1000,
            train_loss=1.0,
            gradient_signal=signal,
            gradient_noise=noise,
            factor={"default": factor},
        )
        action, state = policy.decide(state, seen)
        if isinstance(action.factor, float):
            factor = action.factor
        factors.append(factor)
    return factors


@pytest.mark.parametrize(("power", "expected"), [(1.0, 2 / 5), (0.5, math.sqrt(2 / 5))])
def test_the_factor_follows_the_papers_equation(power: float, expected: float) -> None:
    policy = NoiseScale(power=power, decay=0.5, warmup_steps=10, every=10)

    factors = play(policy, [(1.0, 1.0)] * 20 + [(1.0, 4.0)] * 80)

    assert factors[19] == 1.0, "steady noise is the schedule's business"
    assert factors[-1] == pytest.approx(expected, rel=1e-3)


def test_it_only_looks_every_so_many_steps_and_ignores_small_change() -> None:
    policy = NoiseScale(decay=0.0, warmup_steps=1, every=10)

    factors = play(policy, [(1.0, 1.0)] * 15 + [(1.0, 1.01)] * 10 + [(1.0, 3.0)] * 10)

    assert factors[:29] == [1.0] * 29
    assert factors[29] == pytest.approx(0.5)


def test_without_micro_batches_to_compare_it_never_acts() -> None:
    assert set(play(NoiseScale(warmup_steps=1, every=1), [(None, None)] * 50)) == {1.0}


def test_noise_that_drowns_the_signal_is_no_reason() -> None:
    policy = NoiseScale(decay=0.0, warmup_steps=1, every=1)

    factors = play(policy, [(1.0, 1.0), (-0.5, 3.0), (math.nan, 1.0), (1.0, math.inf)])

    assert factors == [1.0] * 4


@pytest.mark.parametrize(
    ("args", "field"),
    [
        ({"power": 0.0}, "power=0.0"),
        ({"decay": 1.0}, "decay=1.0"),
        ({"warmup_steps": 0}, "warmup_steps=0"),
        ({"every": 0}, "every=0"),
        ({"min_factor": 0.0}, "min_factor=0.0"),
        ({"max_factor": 0.5}, "max_factor=0.5"),
    ],
)
def test_an_argument_out_of_range_is_named_with_its_value(args: Any, field: str) -> None:
    with pytest.raises(ValueError, match=field):
        NoiseScale(**args)
