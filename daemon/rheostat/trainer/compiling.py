"""What `train.compile` compiles: the model, and the optimizer's step where it can be.

An optimizer whose step is compiled reads its LR from a tensor: a float that changes would be a
constant of the graph, to be compiled again. A momentum and a weight decay are floats, which torch
takes for constants until they change once, and for inputs from then on: one more graph.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
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


def compiled_model(model: Callable[..., Any], mode: bool | str) -> Callable[..., Any]:
    """Return a model's compiled call, or the model itself where `mode` is false.

    Args:
        model: what learns, or what several processes have put around it.
        mode: one of torch.compile's, or true for its default.
    """
    if mode is False:
        return model
    compiled: Any = torch.compile(model, mode=None if mode is True else str(mode))
    return compiled  # type: ignore[no-any-return]


def compiled_step(optimizer: Optimizer, unless: Tensor | None = None) -> Callable[[], object]:
    """Return what updates the weights, compiled where that can be.

    It is compiled in torch's default mode whatever the model's is: CUDA graphs, which the others
    use, would take each momentum for a constant, and after eight of them give up.

    Args:
        optimizer: one that is compiled whole, or any.
        unless: () on the device; where it is above 0 the weights stay as they are. Only for one
            that `is_compiled`.
    """
    if not is_compiled(optimizer):
        return step_of(optimizer)
    steps: list[Callable[[], object]]
    if unless is None:
        # torch's own wrapper stays on: the compiler knows it, and drops it.
        steps = [torch.compile(part.step) for part in parts_of(optimizer)]
    else:
        steps = [torch.compile(_guarded(part, unless)) for part in parts_of(optimizer)]

    def step() -> None:
        for one in steps:
            one()

    return step if len(steps) > 1 else steps[0]


def _guarded(optimizer: Optimizer, unless: Tensor) -> Any:
    parameters = [one for group in optimizer.param_groups for one in group["params"]]

    def step() -> None:
        kept = [one.detach().clone() for one in parameters]
        optimizer.step()
        with torch.no_grad():
            for parameter, before in zip(parameters, kept, strict=True):
                parameter.copy_(torch.where(unless > 0, before, parameter))

    return step
