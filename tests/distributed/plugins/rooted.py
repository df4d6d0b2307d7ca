"""A network whose root has parameters of its own beside its blocks."""

import torch
from torch import nn


class Rooted(nn.Module):
    """A first and a last layer of the root's own, a block between them, a buffer, and a parameter
    of which there is not a row for each rank.
    """

    def __init__(self, inputs, outputs):
        super().__init__()
        self.first = nn.Linear(inputs, 64)
        self.blocks = nn.ModuleList([nn.Linear(64, 64)])
        self.norm = nn.BatchNorm1d(64)
        self.last = nn.Linear(64, outputs)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, inputs):
        hidden = self.first(inputs.flatten(1))
        for block in self.blocks:
            hidden = hidden + block(hidden.relu())
        return self.last(self.norm(hidden) * self.scale)


def net(*, example):
    """Return a small network."""
    inputs = example.input_shape[0] * example.input_shape[1] * example.input_shape[2]
    return Rooted(inputs, example.outputs)
