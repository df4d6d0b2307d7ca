"""A model that trains as slowly as a large one, and leaves the processor to others.

So a page's run goes on for as long as its reader types. Where there is a file `~/quickly`, it is
as quick as it is; where there is `~/crawling`, it takes so long for a step that what is to last
some hundred of them outlasts all that is typed meanwhile, also on a machine that stands still.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from rheostat.trainer.data import DataDescription
from rheostat.trainer.models import mlp as quick

SECONDS_PER_STEP = 0.003
CRAWLING_SECONDS_PER_STEP = 0.3
QUICKLY, CRAWLING = Path.home() / "quickly", Path.home() / "crawling"


def mlp(*, example: DataDescription, hidden: Sequence[int] = (256, 128, 64)) -> nn.Module:
    """Return the built-in of that name."""
    model = quick.mlp(example=example, hidden=hidden)
    model.register_forward_pre_hook(_wait)
    return model


def _wait(model: nn.Module, inputs: object) -> None:
    if model.training and not QUICKLY.exists():
        time.sleep(CRAWLING_SECONDS_PER_STEP if CRAWLING.exists() else SECONDS_PER_STEP)
