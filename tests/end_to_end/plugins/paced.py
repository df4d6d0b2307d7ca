"""A model that leaves the processor to whoever steers it: `paced:mlp`, some 300 steps a second."""

import time
from collections.abc import Sequence

from torch import nn

from rheostat.trainer.data import DataDescription
from rheostat.trainer.models import mlp as quick

SECONDS_PER_BATCH = 0.003


def mlp(*, example: DataDescription, hidden: Sequence[int] = (256, 128, 64)) -> nn.Module:
    """Return the built-in of that name, whose batches take their time."""
    model = quick.mlp(example=example, hidden=hidden)
    model.register_forward_pre_hook(_wait)
    return model


def _wait(model: nn.Module, inputs: object) -> None:
    time.sleep(SECONDS_PER_BATCH)
