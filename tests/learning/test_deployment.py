"""What is learned is what is deployed: the environment and the `learned` policy, side by side."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rheostat.learning.environment import make_environment
from rheostat.spec.validation import parse
from rheostat.trainer.building import build
from rheostat.trainer.loop import Loop
from rheostat.trainer.peers import Nobody
from rheostat.trainer.ranks import Alone
from rheostat_policies.learned.network import Network
from rheostat_policies.learned.normaliser import Normaliser
from rheostat_policies.learned.policy_file import LearnedPolicy


def a_policy(features: tuple[str, ...], answers: Any, spread: float) -> LearnedPolicy:
    """Make a network with random weights, as wild as `spread` says."""
    random, widths = np.random.default_rng(0), (len(features), 8, answers.outputs)
    layers = [
        (
            (spread * random.normal(size=(outputs, inputs))).astype(np.float32),
            (spread * random.normal(size=outputs)).astype(np.float32),
        )
        for inputs, outputs in pairwise(widths)
    ]
    return LearnedPolicy(
        every=10,
        features=features,
        normaliser=Normaliser(mean=[0.1] * len(features), deviation=[2.0] * len(features)),
        network=Network(layers, "tanh"),
        answers=answers,
        provenance={},
        configuration={},
    )


@pytest.mark.parametrize(
    "settings",
    [{"mode": "anchored"}, {"mode": "xu2019"}, {"mode": "xu2019", "discrete": False}],
    ids=["anchored", "xu2019 discrete", "xu2019 continuous"],
)
def test_a_live_run_gets_the_lrs_that_its_policy_was_trained_with(
    tiny: dict[str, Any], two_groups: Any, tmp_path: Path, settings: dict[str, Any]
) -> None:
    spec = {**tiny, "groups": two_groups, "evaluate": {"every": 10}}
    environment = make_environment([{"spec": spec}], **settings)
    policy = a_policy(environment.mode.features, environment.mode.answers, spread=1.0)
    (tmp_path / "a.policy").write_bytes(policy.to_bytes())
    attached = {"name": "learned", "args": {"file": str(tmp_path / "a.policy")}}
    live_spec, violations = parse({**spec, "policies": [attached]})
    assert live_spec is not None, violations
    live = Loop(build(live_spec, "live"), Nobody(), Alone())
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
