"""What the tests of learning share: tasks of a fraction of a second, and what needs the extra."""

from typing import Any

import pytest

from rheostat.learning.environment import LearningRate, make_environment

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
