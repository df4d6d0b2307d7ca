"""A small network whose activations are waves."""

from collections import OrderedDict
from math import prod

import torch
from rheostat.trainer.data import DataDescription
from torch import Tensor, nn


class Sine(nn.Module):
    """The sine of a multiple of its input."""

    def __init__(self, frequency: float) -> None:
        super().__init__()
        self.frequency = frequency

    def forward(self, inputs: Tensor) -> Tensor:
        """Return sin(frequency * inputs)."""
        return torch.sin(self.frequency * inputs)


def ripple(
    *, example: DataDescription, width: int = 64, depth: int = 2, frequency: float = 3.0
) -> nn.Module:
    """Return linear layers with sines between them, after SIREN (arXiv 2006.09661).

    Args:
        example: the shape of the data, which Rheostat passes because it is asked for.
        width: of each hidden layer, >= 1.
        depth: number of hidden layers, >= 1.
        frequency: of the sines, above 0; more bends earlier.

    Raises:
        ValueError: if an argument is out of its range.
    """
    if width < 1 or depth < 1:
        raise ValueError(f"width={width} and depth={depth} must be at least 1")
    if not frequency > 0:
        raise ValueError(f"frequency={frequency} must be above 0")
    layers: list[nn.Module] = []
    inputs = prod(example.input_shape)
    for _ in range(depth):
        layers += [nn.Linear(inputs, width), Sine(frequency)]
        inputs = width
    return nn.Sequential(
        OrderedDict[str, nn.Module](
            flatten=nn.Flatten(),
            waves=nn.Sequential(*layers),
            head=nn.Linear(width, example.outputs),
        )
    )
