"""What is learned is what is deployed: the environment and the `learned` policy, side by side."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rheostat.learning.environment import make_environment
from rheostat.spec.loading import read_file
from rheostat.spec.validation import parse
from rheostat.trainer.building import build
from rheostat.trainer.loop import Loop
from rheostat.trainer.peers import Nobody
from rheostat.trainer.ranks import Alone
from rheostat_policies.learned.answers import Anchored
from rheostat_policies.learned.features import ANCHORED
from rheostat_policies.learned.policy_file import LearnedPolicy
from rheostat_policies.learned.shipped import shipped_file, shipped_names

Made = Callable[..., LearnedPolicy]


def attach(spec: dict[str, Any], policy: LearnedPolicy, folder: Path, **fields: Any) -> Loop:
    """Return a run with a policy, ready to be trained."""
    file = folder / "a.policy"
    file.write_bytes(policy.to_bytes())
    attached = {"name": "learned", "args": {"file": str(file)}, **fields}
    made, violations = parse({**spec, "policies": [attached]})
    assert made is not None, violations
    return Loop(build(made, "live"), Nobody(), Alone())


@pytest.mark.parametrize(
    "settings",
    [{"mode": "anchored"}, {"mode": "xu2019"}, {"mode": "xu2019", "discrete": False}],
    ids=["anchored", "xu2019 discrete", "xu2019 continuous"],
)
def test_a_live_run_gets_the_lrs_that_its_policy_was_trained_with(
    tiny: dict[str, Any], two_groups: Any, tmp_path: Path, a_policy: Made, settings: dict[str, Any]
) -> None:
    spec = {**tiny, "groups": two_groups, "evaluate": {"every": 10}}
    environment = make_environment([{"spec": spec}], **settings)
    policy = a_policy(environment.mode.features, environment.mode.answers, spread=1.0)
    live = attach(spec, policy, tmp_path)
    live.advance(10)

    seen, info = environment.reset(options={"seed": 0})
    lrs, bases, live_lrs, is_over = [], [], [], False
    while not is_over:
        outputs = policy.network(policy.normaliser(np.atleast_2d(seen)))
        if environment.action_space.shape:
            action: Any = np.clip(np.array(outputs, dtype=np.float32).reshape(-1), -1, 1)
        else:
            action = int(np.argmax(outputs[0]))
        seen, _, is_over, _, info = environment.step(action)
        lrs.append(list(info["learning_rate"].values()))
        bases.append(list(info["base"].values()))
        live.advance(10)
        live_lrs.append(live.parts.steering.learning_rates)

    assert live_lrs == lrs
    assert lrs != bases, "the network has something to say"
    measured = live.measurement()
    assert measured is not None
    assert measured[3] == info["validation_loss"]


def test_in_shadow_it_shows_what_it_would_do_and_does_nothing(
    tiny: dict[str, Any], tmp_path: Path, a_policy: Made
) -> None:
    live = attach(tiny, a_policy(ANCHORED, Anchored(), spread=1.0), tmp_path, shadow=True)

    live.advance(30)

    (state,) = live.parts.steering.states()
    assert state.learning_rate == state.base
    assert state.shadows["learned"] != state.base


def test_a_network_that_answers_nan_changes_nothing_and_the_run_ends_well(
    tiny: dict[str, Any], tmp_path: Path, a_policy: Made
) -> None:
    live = attach(
        {**tiny, "train": {"steps": 100}}, a_policy(ANCHORED, Anchored(), spread=1.0), tmp_path
    )
    (attached,) = live.parts.steering.roster.policies
    # No file with such weights is read; what happens to them in memory is another matter.
    attached._decide.__self__.learned.network.layers[-1][1].fill(math.nan)  # type: ignore[attr-defined]

    result = live.run()

    (status,) = live.parts.steering.roster.statuses()
    (state,) = live.parts.steering.states()
    assert result.steps == 100
    assert status.outcomes["failed"] > 0
    assert "it asked for a factor of nan" in status.failure
    assert state.learning_rate == state.base


@pytest.mark.parametrize("bias", [100.0, -100.0], ids=["up", "down"])
def test_a_network_at_its_bounds_is_held_by_the_guardrails(
    tiny: dict[str, Any], tmp_path: Path, a_policy: Made, bias: float
) -> None:
    policy = a_policy(ANCHORED, Anchored(reach=8.0), spread=0.0)
    policy.network.layers[-1][1].fill(bias)
    bounds = {"max_ratio_to_base": 2.0, "min_ratio_to_base": 0.5, "max_ratio_per_step": 1.2}

    live = attach({**tiny, "guardrails": bounds}, policy, tmp_path)
    ratios = []
    for _ in range(60):
        live.advance(1)
        (state,) = live.parts.steering.states()
        ratios.append(state.learning_rate / state.base)

    assert ratios[:10] == [1.0] * 10
    assert ratios[10] == pytest.approx(1.2 if bias > 0 else 1 / 1.2)
    assert ratios[-1] == pytest.approx(2.0 if bias > 0 else 0.5)
    assert live.parts.steering.interventions


def test_one_that_goes_on_learning_keeps_what_it_knows_when_it_fails(
    tiny: dict[str, Any], tmp_path: Path, a_policy: Made
) -> None:
    file = tmp_path / "a.policy"
    file.write_bytes(a_policy(ANCHORED, Anchored(), spread=1.0).to_bytes())
    args = {"file": str(file), "online": True}
    made, violations = parse({**tiny, "policies": [{"name": "learned", "args": args}]})
    assert made is not None, violations
    live = Loop(build(made, "live"), Nobody(), Alone())
    live.advance(35)
    (attached,) = live.parts.steering.roster.policies
    known = attached.state["online"]  # type: ignore[attr-defined]
    network = attached._decide.__self__.learned.network  # type: ignore[attr-defined]
    weights = network.layers[-1][1].copy()

    network.layers[-1][1].fill(math.nan)
    live.advance(8)
    assert attached.state["online"] == known  # type: ignore[attr-defined]
    network.layers[-1][1][:] = weights
    live.advance(17)

    assert any(known["change"])
    assert attached.state["online"]["window"] > known["window"]  # type: ignore[attr-defined]
    assert live.run().steps == 60


def test_the_example_runs_the_shipped_controller_within_its_guardrails() -> None:
    example = Path(__file__).parents[2] / "examples" / "learned.yaml"
    spec, violations = parse({**read_file(example), "train": {"steps": 120}})
    assert spec is not None, violations
    assert spec.policies[0].name == "learned"
    assert not spec.policies[0].args
    live = Loop(build(spec, "live"), Nobody(), Alone())
    ratios = []
    for _ in range(12):
        live.advance(10)
        (state,) = live.parts.steering.states()
        ratios.append(state.learning_rate / state.base)

    (status,) = live.parts.steering.roster.statuses()
    assert status.outcomes.get("failed", 0) == 0
    assert ratios[0] == 1.0
    assert len(set(ratios)) > 6
    assert all(math.exp(-1.3) <= ratio <= math.exp(1.3) for ratio in ratios)


def test_a_name_that_is_not_shipped_is_a_path() -> None:
    assert shipped_names() == ["one_cycle"]
    assert shipped_file("one_cycle") == shipped_file(None) != shipped_file("two_cycle")
    assert shipped_file("two_cycle") == Path("two_cycle")
