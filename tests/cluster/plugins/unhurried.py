"""A model that leaves the machine to the API server: `unhurried:network`, 200 steps a second."""

import time

from torch import Tensor, nn

SECONDS = 0.004


class Network(nn.Sequential):
    """A small network whose training steps take their time."""

    def forward(self, inputs: Tensor) -> Tensor:
        if self.training:
            time.sleep(SECONDS)
        return super().forward(inputs)


def network() -> nn.Module:
    return Network(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
