"""A model that leaves the machine to others: `unhurried:network`, some 300 steps a second."""

import time

from torch import Tensor, nn

SECONDS = 0.003


class Network(nn.Sequential):
    """A small network whose training steps take their time."""

    def forward(self, inputs: Tensor) -> Tensor:
        if self.training:
            time.sleep(SECONDS)
        return super().forward(inputs)


def network() -> nn.Module:
    return Network(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
