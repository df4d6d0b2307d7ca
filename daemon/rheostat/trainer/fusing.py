"""Which optimizers step in one fused kernel without being asked to.

A fused kernel reads and writes each parameter once; the default of torch makes a pass for each
operation of the formula. On two cores AdamW took less than half the time, SGD with momentum two
thirds. It rounds elsewhere, so a run differs in its last bits from one with `fused: false`.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

FUSED: Mapping[str, frozenset[type[Optimizer]]] = {
    "cpu": frozenset(
        {torch.optim.Adagrad, torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD},
    ),
    "cuda": frozenset({torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD}),
}
"""Classes with a fused kernel, by device type."""

_WAYS = frozenset({"capturable", "differentiable", "foreach", "fused"})
"""Arguments by which a spec says how an optimizer is to step."""


def is_fused(
    cls: type[Optimizer],
    args: Sequence[Mapping[str, Any]],
    parameters: Collection[nn.Parameter],
) -> bool:
    """Whether an optimizer is made with `fused=True`.

    Args:
        cls: its class.
        args: its arguments, and those of each of its groups.
        parameters: what it steps.
    """
    kinds = {parameter.device.type for parameter in parameters}
    if len(kinds) != 1 or any(_WAYS & given.keys() for given in args):
        return False
    [kind] = kinds
    if kind == "cpu" and cls is torch.optim.SGD and not any(one.get("momentum") for one in args):
        # Without momentum there is one operation, and nothing to fuse: measured 10 % slower.
        return False
    # A half-precision kernel on the CPU would keep its moments in half precision.
    return cls in FUSED.get(kind, ()) and all(one.dtype == torch.float32 for one in parameters)


def has_sparse_gradients(model: nn.Module) -> bool:
    """Whether some table of a model asks for sparse gradients, which no fused kernel takes."""
    return any(getattr(module, "sparse", False) is True for module in model.modules())
