"""The plain network: fully connected layers."""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from math import prod

from torch import nn

from rheostat.trainer.data.factories import invalid_arg
from rheostat.trainer.data.records import DataDescription


def mlp(*, example: DataDescription, hidden: Sequence[int] = (256, 128, 64)) -> nn.Module:
    """Return hidden layers with ReLU, `hidden`, and a linear `head`; inputs are flattened.

    Args:
        example: Gives the number of inputs and outputs.
        hidden: Width of each hidden layer, >= 1; none makes the model linear.

    Raises:
        InvalidSpec: a width is below 1.
    """
    if any(width < 1 for width in hidden):
        raise invalid_arg("model", "hidden", hidden, "layer widths of at least 1")
    widths = [prod(example.input_shape), *hidden]
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(
        OrderedDict[str, nn.Module](
            flatten=nn.Flatten(),
            hidden=nn.Sequential(*layers),
            head=nn.Linear(widths[-1], example.outputs),
        )
    )
