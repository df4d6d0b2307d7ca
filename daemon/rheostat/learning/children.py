"""The training jobs of the literature, as ordinary specs."""

from collections.abc import Mapping
from typing import Any

LRS = (1e-2, 1e-3, 1e-4)
"""First LRs of Xu et al.'s public code."""
STEPS = 1010
"""Its length: one window that nobody acts in, and 100 actions of 10 steps."""
MODELS: Mapping[str, Mapping[str, Any]] = {
    "mlp": {"name": "mlp", "args": {"hidden": [256, 128]}},
    "lenet5": {"name": "lenet5"},
    "resnet18": {"name": "resnet18"},
}
DATA: Mapping[str, Mapping[str, Any]] = {
    "digits": {"name": "digits", "batch_size": 64},
    "mnist": {"name": "mnist", "batch_size": 1000},
    "fashion_mnist": {"name": "fashion_mnist", "batch_size": 1000},
    "cifar10": {"name": "cifar10", "batch_size": 1000},
}
"""With the batch size of the paper, or one of which digits has a few."""


def child_task(
    model: str, data: str, *, root: str | None = None, steps: int = STEPS, seeds: int = 16
) -> dict[str, Any]:
    """Return a task of an environment: Adam on a network and a data set of the paper.

    Args:
        model: mlp (inputs-256-128-classes), lenet5 or resnet18.
        data: digits, mnist, fashion_mnist or cifar10.
        root: folder of the data's files; None is where the data set looks by itself.
        steps: optimizer steps of an episode.
        seeds: seeds that episodes draw from.

    Raises:
        KeyError: if there is no such model or data set.
    """
    source = dict(DATA[data]) if root is None else {**DATA[data], "root": root}
    spec = {
        "name": f"{model}-{data.replace('_', '-')}",
        "model": dict(MODELS[model]),
        "data": source,
        "optimizer": {"name": "Adam", "lr": 1e-3},
        "train": {"steps": steps},
    }
    return {"spec": spec, "lrs": list(LRS), "seeds": seeds}
