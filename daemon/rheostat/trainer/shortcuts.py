"""A backward pass, an optimizer's `step` and its `zero_grad` without what nobody asked for.

torch wraps them for its profiler, for hooks, and for arguments of all kinds. At a half-millisecond
step that costs 70 us, an eighth of everything, whether anybody profiles or not. Where an optimizer
has no hooks and does not override them, and a loss is a plain tensor, the same work is done without
the wrapping; the results are bit for bit equal.
"""

from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import _engine_run_backward
from torch.optim import Optimizer
from torch.optim import optimizer as torch_optimizer

from rheostat.trainer.kernels import KernelStep, has_kernel

_USES_GRAD = torch_optimizer._use_grad_for_differentiable(lambda: None).__code__
"""Code of torch's wrapper that turns gradients off, or on where the step itself is learned."""


def backward(loss: Tensor) -> None:
    """Do what `loss.backward()` does; 20 us faster where the () loss is of no class of its own."""
    if type(loss) is not Tensor:
        loss.backward()  # type: ignore[no-untyped-call]
        return
    _engine_run_backward(
        (loss,),
        (torch.ones_like(loss),),
        False,  # keep the graph
        False,  # make one of the gradients
        (),  # inputs: all leaves
        allow_unreachable=True,
        accumulate_grad=True,
    )


def step_of(optimizer: Optimizer) -> Callable[[], object]:
    """Return what updates the weights: the class's own `step` where no hook is in the way."""
    plain = unwrapped_step(optimizer)
    if plain is None or "step" in vars(optimizer) or has_hooks(optimizer):
        return optimizer.step
    own = MethodType(plain, optimizer)
    return KernelStep(optimizer, own) if has_kernel(optimizer) else own


def unwrapped_step(optimizer: Optimizer) -> Callable[[Optimizer], Any] | None:
    """Return the class's own `step` without torch's wrappers; None where it has not these."""
    wrapped: Any = type(optimizer).step
    if not getattr(wrapped, "hooked", False) or not hasattr(wrapped, "__wrapped__"):
        return None
    plain: Any = wrapped.__wrapped__
    if getattr(plain, "__code__", None) is _USES_GRAD and not optimizer.defaults["differentiable"]:
        # What it does besides speaks to the compiler, which it imports for that.
        plain = torch.no_grad()(plain.__wrapped__)
    return plain  # type: ignore[no-any-return]


def zero_grad_of(optimizer: Optimizer) -> Callable[[], None]:
    """Return what forgets the gradients of every parameter."""
    if type(optimizer).zero_grad is not Optimizer.zero_grad or "zero_grad" in vars(optimizer):
        return optimizer.zero_grad
    parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def zero_grad() -> None:
        for parameter in parameters:
            parameter.grad = None

    return zero_grad


def has_hooks(optimizer: Optimizer) -> bool:
    """Whether anybody wants to know of this optimizer's steps."""
    return bool(
        optimizer._optimizer_step_pre_hooks
        or optimizer._optimizer_step_post_hooks
        or torch_optimizer._global_optimizer_pre_hooks
        or torch_optimizer._global_optimizer_post_hooks
    )
