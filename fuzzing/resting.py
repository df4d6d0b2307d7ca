"""A model that rests at each step: a run beside a fuzzer that leaves it the CPU."""

import time

import torch
from torch import nn

REST_SECONDS = 0.005


class Rests(nn.Module):
    """Gives back what it is given, a while later."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        time.sleep(REST_SECONDS)
        return inputs


def net() -> nn.Module:
    """Return a small network for the digits."""
    return nn.Sequential(Rests(), nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
