"""A model that takes its time, so that there is something to interrupt: `paced:network`."""

import os
import time
from pathlib import Path

from torch import Tensor, nn

PACE_VARIABLE = "CRASH_PACE"
"""Names a file; while it exists, every training step sleeps the seconds that stand in its name."""


class Network(nn.Sequential):
    """A small network with dropout, whose forward pass is slow as long as it is to be."""

    def __init__(self, inputs: int, outputs: int, hidden: int, dropout: float) -> None:
        super().__init__(
            nn.Flatten(),
            nn.Linear(inputs, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, outputs),
        )
        self._pace = os.environ.get(PACE_VARIABLE, "")

    def forward(self, inputs: Tensor) -> Tensor:
        if self.training and self._pace and os.path.exists(self._pace):
            time.sleep(float(Path(self._pace).name))
        return super().forward(inputs)


def network(
    *, inputs: int = 64, outputs: int = 10, hidden: int = 24, dropout: float = 0.0
) -> nn.Module:
    return Network(inputs, outputs, hidden, dropout)
