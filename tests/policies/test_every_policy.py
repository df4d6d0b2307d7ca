"""Laws that every built-in policy keeps, whatever it is shown."""

import copy
import json
import math
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rheostat_policies import (
    POLICIES,
    Action,
    AdaLRS,
    AutoLRS,
    Greedy,
    GroupInfo,
    Hypergradient,
    KLBand,
    Learned,
    LossSpike,
    NoiseScale,
    Observation,
    Plateau,
    Policy,
    ProbeResult,
    Rules,
    RunInfo,
)
from rheostat_policies.learned.answers import Anchored
from rheostat_policies.learned.features import ANCHORED
from rheostat_policies.learned.network import Network
from rheostat_policies.learned.normaliser import Normaliser
from rheostat_policies.learned.policy_file import LearnedPolicy

GROUPS = ("body", "head")
RUN = RunInfo(
    name="a", steps=1000, groups=tuple(GroupInfo(name=name, parameters=10) for name in GROUPS)
)
RULES = [
    {"name": "spike", "when": "train_loss > 2.0", "cooldown": 2, "then": {"scale": 0.5}},
    {"name": "lost", "when": "!math.isFinite(train_loss)", "then": {"set": 0.01, "ramp_steps": 5}},
    {
        "name": "good",
        "when": "validation_accuracy > 0.5 || gradient_norm < train_loss_average",
        "for": 3,
        "cooldown": 0,
        "then": {"scale": 1.3, "groups": ["head"], "max_factor": 4},
        "reason": "{validation_accuracy:.2f} at {learning_rate[head]:.1e}",
    },
]


def a_learned_policy(**args: Any) -> Learned:
    """A network with one layer, which answers to everything it sees."""
    weights = np.linspace(-1.0, 1.0, len(ANCHORED), dtype=np.float32).reshape(1, -1)
    made = LearnedPolicy(
        every=1,
        features=ANCHORED,
        normaliser=Normaliser(mean=[0.0] * len(ANCHORED), deviation=[1.0] * len(ANCHORED)),
        network=Network([(weights, np.zeros(1, np.float32))], "tanh"),
        answers=Anchored(),
        provenance={},
        configuration={},
    )
    with NamedTemporaryFile() as file:
        Path(file.name).write_bytes(made.to_bytes())
        return Learned(file=file.name, **args)


# Each with short windows, so that a sequence of tens of steps gets somewhere, and its bounds.
EAGER: dict[str, tuple[Policy, float, float]] = {
    "adalrs": (AdaLRS(window=3, settle=1), 0.1, 10.0),
    "autolrs": (AutoLRS(stage=10, probes=2, warmup_steps=3), 0.01, 100.0),
    "greedy": (Greedy(patience=0, factor=0.5, smooth=True, window_size=3, reset_start=2), 0.01, 10),
    "hypergradient": (Hypergradient(beta=0.9, every=2), 0.1, 10.0),
    "kl_band": (KLBand(), 0.1, 1.0),
    "loss_spike": (LossSpike(threshold=1.5, hold_steps=2, warmup_steps=1), 0.1, 1.0),
    "loss_spike that goes back": (
        LossSpike(threshold=1.5, warmup_steps=1, back_steps=5, restores=2),
        0.1,
        1.0,
    ),
    "noise_scale": (NoiseScale(warmup_steps=2, every=1, decay=0.5), 0.1, 2.0),
    "plateau": (Plateau(metric="train_loss", patience=1, factor=0.5, min_lr=1e-4), 1e-2, 1.0),
    "plateau at evaluations": (Plateau(patience=0, cooldown=1, min_lr={"head": 1e-3}), 0.0, 1.0),
    "rules": (Rules(rules=RULES), 0.01, 10.0),
    "learned": (a_learned_policy(), math.exp(-1.3), math.exp(1.3)),
    "learned online": (a_learned_policy(online=True), math.exp(-1.3), math.exp(1.3)),
}
NUMBERS = st.one_of(st.floats(-10, 10), st.floats(), st.just(1.0))
PROBES = st.builds(
    ProbeResult,
    factors=st.just((1.0,)),
    losses=st.tuples(st.lists(NUMBERS, min_size=1, max_size=5).map(tuple)),
)
MEASURED = st.fixed_dictionaries(
    {
        "train_loss": NUMBERS,
        "validation_loss": st.none() | NUMBERS,
        "validation_accuracy": st.none() | NUMBERS,
        "validation_step": st.none() | st.integers(0, 5),
        "gradient_norm": st.none() | NUMBERS,
        "gradient_alignment": st.none() | NUMBERS,
        "gradient_signal": st.none() | NUMBERS,
        "gradient_noise": st.none() | NUMBERS,
        "prediction_kl": st.none() | NUMBERS,
        "probe": st.none() | PROBES,
    }
)
PER_GROUP = st.dictionaries(st.text(max_size=4) | st.sampled_from(GROUPS), NUMBERS, max_size=3)


def an_observation(step: int, measured: dict[str, Any], factor: dict[str, float]) -> Observation:
    base = dict.fromkeys(GROUPS, 1e-2)
    applied = {group: base[group] * factor[group] for group in GROUPS}
    return Observation(
        step=step, steps=1000, learning_rate=applied, base=base, factor=factor, **measured
    )


def moved(factor: dict[str, float], action: Action) -> dict[str, float]:
    """The factors after an action, arriving at once."""
    if action.factor is None:
        return factor
    if isinstance(action.factor, float | int):
        return dict.fromkeys(factor, action.factor)
    return {**factor, **action.factor}


def test_every_built_in_policy_is_held_to_these_laws() -> None:
    assert {name.split()[0] for name in EAGER} == set(POLICIES)


@pytest.mark.parametrize("name", EAGER)
@given(run=st.lists(MEASURED, max_size=40), data=st.data())
@settings(deadline=None, max_examples=40)
def test_a_state_survives_json_at_any_step_and_decides_the_same_after(
    name: str, run: list[dict[str, Any]], data: st.DataObject
) -> None:
    policy, _, _ = EAGER[name]
    saved_at = data.draw(st.integers(0, len(run)))
    state: Any = policy.initial_state(RUN)
    resumed: Any = state
    factor = dict.fromkeys(GROUPS, 1.0)

    for step, measured in enumerate(run):
        if step == saved_at:
            resumed = json.loads(json.dumps(state, allow_nan=False))
        seen = an_observation(step, measured, factor)
        action, state = policy.decide(state, seen)
        again, resumed = policy.decide(resumed, seen)

        assert again == action
        assert resumed == state
        factor = moved(factor, action)
    json.dumps(state, allow_nan=False)


@pytest.mark.parametrize("name", EAGER)
@given(run=st.lists(MEASURED, max_size=40))
@settings(deadline=None, max_examples=40)
def test_factors_stay_within_their_bounds_and_every_change_has_a_reason(
    name: str, run: list[dict[str, Any]]
) -> None:
    policy, low, high = EAGER[name]
    state: Any = policy.initial_state(RUN)
    factor = dict.fromkeys(GROUPS, 1.0)

    for step, measured in enumerate(run):
        action, state = policy.decide(state, an_observation(step, measured, factor))
        factor = moved(factor, action)

        assert all(low <= value <= high and value > 0 for value in factor.values())
        assert (action.factor is None) == (action.reason == "")


@pytest.mark.parametrize("name", EAGER)
@given(
    run=st.lists(st.tuples(MEASURED, PER_GROUP, PER_GROUP, PER_GROUP), max_size=20),
    steps=st.integers(0, 30),
)
@settings(deadline=None, max_examples=40)
def test_no_observation_whatsoever_makes_a_policy_raise_or_change_an_old_state(
    name: str, run: list[tuple[dict[str, Any], Any, Any, Any]], steps: int
) -> None:
    policy, _, _ = EAGER[name]
    state: Any = policy.initial_state(RUN)

    for step, (measured, learning_rate, base, factor) in enumerate(run):
        before = copy.deepcopy(state)
        seen = Observation(
            step=step,
            steps=steps,
            learning_rate=learning_rate,
            base=base,
            factor=factor,
            **measured,
        )
        _, after = policy.decide(state, seen)

        assert state == before
        json.dumps(after, allow_nan=False)
        state = after
