"""What autolrs makes of its probes, and the two things it guesses with."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat_policies import AutoLRS, GroupInfo, Observation, Probe, ProbeResult, RunInfo
from rheostat_policies.feedback.forecast import forecast
from rheostat_policies.feedback.gaussian_process import posterior

RUN = RunInfo(name="a", steps=10_000, groups=(GroupInfo(name="default", parameters=10),))


def losses_with(factor: float, best: float, steps: int) -> tuple[float, ...]:
    """Losses that fall to a level which is lowest at one factor, and not finite far above it."""
    if factor > 30 * best:
        return (2.0, math.nan)
    level = 0.2 + 0.3 * math.log10(factor / best) ** 2
    return tuple(level + (2.0 - level) * math.exp(-step / 20) for step in range(steps))


def play(policy: AutoLRS, best: float, steps: int) -> list[tuple[int, float, list[Probe]]]:
    """The stages of a run: the step before each, its factor, and the probes made for it."""
    state: Any = policy.initial_state(RUN)
    factor, probe, made, stages = 1.0, None, [], []
    for step in range(steps):
        found = None
        if probe is not None:
            losses = tuple(losses_with(one, best, probe.steps) for one in probe.factors)
            found = ProbeResult(probe.factors, losses)
        seen = Observation(
            step=step, steps=steps, train_loss=1.0, factor={"default": factor}, probe=found
        )
        action, state = policy.decide(state, seen)
        probe = action.probe
        if probe is not None:
            made.append(probe)
        if isinstance(action.factor, float):
            factor = action.factor
            stages.append((step, factor, made))
            made = []
    return stages


@pytest.mark.parametrize("best", [0.03, 0.3, 1.0, 4.0, 50.0])
def test_each_stage_runs_with_the_factor_that_promises_the_lowest_loss(best: float) -> None:
    stages = play(AutoLRS(stage=100, max_stage=400), best, steps=1200)

    assert len(stages) > 2
    assert all(factor == pytest.approx(best, rel=0.35) for _, factor, _ in stages)


def test_stages_double_and_a_probe_is_a_share_of_its_stage() -> None:
    stages = play(AutoLRS(stage=100, max_stage=300, probes=4, warmup_steps=50), 1.0, steps=700)

    began = [step for step, _, _ in stages]
    assert began[0] == 50 - 1 + 4
    assert [later - earlier for earlier, later in pairwise(began)] == [
        100 + 4,
        200 + 4,
        300 + 4,
    ]
    assert [{probe.steps for probe in probes} for _, _, probes in stages] == [
        {10},
        {20},
        {30},
        {30},
    ]
    assert all(len(probes) == 4 for _, _, probes in stages)


def test_a_stage_is_first_probed_with_the_factor_of_the_one_before() -> None:
    stages = play(AutoLRS(stage=100, probes=5), 4.0, steps=1000)

    first = [probes[0].factors[0] for _, _, probes in stages]
    assert first == pytest.approx([1.0, *(factor for _, factor, _ in stages[:-1])])


def test_a_probe_that_could_not_be_made_is_asked_for_again() -> None:
    policy = AutoLRS(stage=10, probes=2)
    asked, state = policy.decide(policy.initial_state(RUN), Observation(0, 100, 1.0))
    again, state = policy.decide(state, Observation(1, 100, 1.0))

    assert again == asked
    assert state["tried"] == []


def test_where_every_trial_fails_the_run_goes_on_with_some_factor_within_the_bounds() -> None:
    policy = AutoLRS(stage=10, probes=3, min_factor=0.5, max_factor=2.0)
    state: Any = policy.initial_state(RUN)
    factors = []
    for step in range(4):
        lost = ProbeResult((1.0,), ((math.inf,),)) if step else None
        action, state = policy.decide(state, Observation(step, 100, 1.0, probe=lost))
        factors.append(action.factor)

    assert factors[:3] == [None, None, None]
    assert factors[3] is not None
    assert 0.5 <= factors[3] <= 2.0


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("stage", 9),
        ("max_stage", 999),
        ("probes", 1),
        ("probe_share", 0.0),
        ("probe_share", 1.1),
        ("kappa", -1.0),
        ("kappa", math.nan),
        ("warmup_steps", -1),
        ("min_factor", 0.0),
        ("max_factor", math.inf),
    ],
)
def test_a_mistake_is_told_with_its_argument_and_its_value(argument: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{argument}={value}"):
        AutoLRS(**{argument: value})  # type: ignore[arg-type]


def test_a_probe_longer_than_any_may_be_is_refused_before_the_run_begins() -> None:
    with pytest.raises(ValueError, match=r"probe_share=0.5 of max_stage=20002 .* 10000 steps"):
        AutoLRS(max_stage=20_002, probe_share=0.5)
    AutoLRS(max_stage=20_000, probe_share=0.5)


@given(
    height=st.floats(0.1, 10),
    level=st.floats(-5, 5),
    rate=st.floats(0.02, 0.5),
    count=st.integers(20, 60),
)
def test_an_exponential_is_read_off_where_it_leads(
    height: float, level: float, rate: float, count: int
) -> None:
    losses = [height * math.exp(-rate * step) + level for step in range(count)]
    true = height * math.exp(-rate * 500) + level

    assert forecast(losses, 500) == pytest.approx(true, abs=0.1 * height)


def test_a_loss_that_rises_is_expected_to_stay_where_it_has_come_to() -> None:
    assert forecast([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 1000) == 7.5
    assert forecast([1.0, 2.0], 1000) == 2.0


@given(
    st.lists(
        st.tuples(st.floats(-2, 2), st.floats(-1e3, 1e3)), min_size=1, max_size=8, unique_by=min
    )
)
def test_a_guess_is_surest_where_something_is_known(found: list[tuple[float, float]]) -> None:
    xs, ys = (np.array(column) for column in zip(*found, strict=True))
    _, near = posterior(xs, ys, xs)
    _, far = posterior(xs, ys, xs + 100.0)

    assert (near <= far + 1e-9).all()
    assert (near >= 0).all()


def test_a_guess_goes_through_what_is_known_of_a_smooth_function() -> None:
    xs = np.linspace(-2, 2, 9)
    between = np.array([-1.1, 0.3, 1.7])
    mean, _ = posterior(xs, np.sin(xs), between)

    assert mean == pytest.approx(np.sin(between), abs=0.02)
