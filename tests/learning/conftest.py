"""What the tests of learning share: tasks of a fraction of a second, and what needs the extra."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from rheostat.learning.environment import LearningRate, make_environment
from rheostat_policies.learned.network import Network
from rheostat_policies.learned.normaliser import Normaliser
from rheostat_policies.learned.policy_file import LearnedPolicy

SPEC: dict[str, Any] = {
    "name": "tiny",
    "model": {"name": "mlp", "args": {"hidden": [16]}},
    "data": {"name": "digits", "batch_size": 128},
    "optimizer": {"name": "Adam", "lr": 1e-2},
    "schedule": {"name": "cosine"},
    "train": {"steps": 60, "seed": 3},
}
TWO_GROUPS: list[dict[str, Any]] = [{"name": "head", "match": r"^head\.", "lr_scale": 2.0}]


@pytest.fixture(scope="session")
def tiny() -> dict[str, Any]:
    """A spec that trains in a tenth of a second."""
    return SPEC


@pytest.fixture(scope="session")
def two_groups() -> list[dict[str, Any]]:
    """Groups of that spec: `head`, and the rest."""
    return TWO_GROUPS


@pytest.fixture
def make() -> Any:
    """Make an environment with the tiny task, some of it otherwise."""

    def made(spec: dict[str, Any] | None = None, **settings: Any) -> LearningRate:
        return make_environment([{"spec": {**SPEC, **(spec or {})}}], **settings)

    return made


@pytest.fixture(scope="session")
def a_policy() -> Callable[..., LearnedPolicy]:
    """Make policies whose networks are drawn at random."""

    def made(features: tuple[str, ...], answers: Any, spread: float) -> LearnedPolicy:
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

    return made
