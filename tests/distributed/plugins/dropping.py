"""A network that draws random numbers as it learns, and keeps buffers."""

from torch import nn


def net(*, example):
    """Return a small network with dropout and batch normalisation."""
    inputs = example.input_shape[0] * example.input_shape[1] * example.input_shape[2]
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(inputs, 24),
        nn.BatchNorm1d(24),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(24, example.outputs),
    )
