"""What `train.compile` compiles: the model, and the optimizer's step where it can be.

An optimizer whose step is compiled reads its LR from a tensor: a float that changes would be a
constant of the graph, to be compiled again.
"""

from collections.abc import Callable

import torch
from torch.optim import Optimizer

from rheostat.trainer.optimizers import parts_of
from rheostat.trainer.shortcuts import step_of

COMPILED = frozenset(
    {
        torch.optim.Adadelta,
        torch.optim.Adagrad,
        torch.optim.Adam,
        torch.optim.Adamax,
        torch.optim.AdamW,
        torch.optim.NAdam,
        torch.optim.RAdam,
        torch.optim.RMSprop,
        torch.optim.SGD,
    }
)
"""Classes whose step torch compiles as one graph, without a look at a tensor's value."""


def is_compiled(optimizer: Optimizer) -> bool:
    """Whether `compiled_step` compiles this optimizer, and all of its parts."""
    return all(type(part) in COMPILED for part in parts_of(optimizer))


def compiled_step(optimizer: Optimizer) -> Callable[[], object]:
    """Return what updates the weights, compiled where that can be."""
    if not is_compiled(optimizer):
        return step_of(optimizer)
    # torch's own wrapper stays on: the compiler knows it, and drops it.
    steps = [torch.compile(part.step) for part in parts_of(optimizer)]

    def step() -> None:
        for one in steps:
            one()

    return step if len(steps) > 1 else steps[0]
