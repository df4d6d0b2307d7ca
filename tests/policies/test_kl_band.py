"""The band around a divergence of predictions."""

from typing import Any

import pytest

from rheostat_policies import KEEP, GroupInfo, KLBand, Observation, RunInfo

RUN = RunInfo(name="a", steps=100, groups=(GroupInfo(name="all", parameters=1),))


def seen(kl: float | None, validation_step: int, factor: float = 1.0) -> Observation:
    return Observation(
        step=validation_step,
        steps=100,
        train_loss=1.0,
        validation_step=validation_step,
        factor={"all": factor},
        prediction_kl=kl,
    )


def decided(policy: KLBand, observation: Observation, state: Any = None) -> Any:
    return policy.decide(state or policy.initial_state(RUN), observation)


@pytest.mark.parametrize(
    ("kl", "factor", "becomes"),
    [
        (0.021, 0.5, 0.5 / 1.5),
        (0.0049, 0.5, 0.75),
        (0.0049, 0.8, 1.0),
        (1.0, 0.12, 0.1),
    ],
)
def test_the_factor_moves_by_the_ratio_within_its_bounds(
    kl: float, factor: float, becomes: float
) -> None:
    action, _ = decided(KLBand(kl_target=0.01), seen(kl, 10, factor))

    assert action.factor == {"all": pytest.approx(becomes)}
    assert f"{kl:.3g}" in action.reason


@pytest.mark.parametrize("kl", [None, 0.005, 0.01, 0.02])
def test_within_the_band_or_without_a_divergence_nothing_moves(kl: float | None) -> None:
    assert decided(KLBand(kl_target=0.01), seen(kl, 10, 0.5))[0] is KEEP


def test_a_validation_is_looked_at_once() -> None:
    policy = KLBand(kl_target=0.01)
    _, state = decided(policy, seen(1.0, 10))

    assert decided(policy, seen(1.0, 10, 0.67), state)[0] is KEEP
    assert decided(policy, seen(1.0, 20, 0.67), state)[0] is not KEEP


def test_a_factor_at_its_bound_stays_without_a_word() -> None:
    assert decided(KLBand(), seen(0.0, 10, 1.0))[0] is KEEP


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ({"kl_target": 0}, "kl_target=0 must be greater than 0"),
        ({"band": 1}, "band=1 must be greater than 1"),
        ({"ratio": 0.5}, "ratio=0.5 must be greater than 1"),
        ({"min_factor": 2}, "min_factor=2 must be greater than 0 and at most 1"),
    ],
)
def test_an_argument_out_of_its_range_is_named(args: dict[str, float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        KLBand(**args)
