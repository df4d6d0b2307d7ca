"""Steps of fused optimizers that hand their kernel the tensors that it had before.

Between `step` and the kernel torch gathers lists of the same tensors at every step, sorts them by
device and type, and counts the step of each parameter by itself. With eight parameters that took 34
of 49 us. Here the lists are kept for as long as the state is the one that they were made of, and
the counts lie side by side in memory, where one addition does for all of them. The results are bit
for bit equal.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

Kernel = Callable[[list[Tensor]], object]
"""Updates the parameters of a group, and their state, with a gradient of each."""


@dataclass(frozen=True, slots=True)
class _Group:
    """What the step of a group works on."""

    stepped: list[tuple[Tensor, dict[str, Any]]]
    """Parameters that have a gradient, each with its state."""
    idle: list[Tensor]
    """Those that have none."""
    kernel: Kernel

    def gradients(self) -> list[Tensor] | None:
        """Return the gradients to step with; None where it is not with the same tensors."""
        gradients = []
        for parameter, state in self.stepped:
            gradient = parameter.grad
            if gradient is None or not state:
                return None
            gradients.append(gradient)
        for parameter in self.idle:
            if parameter.grad is not None:
                return None
        return gradients


class KernelStep:
    """The step of an optimizer of which `has_kernel` is true.

    It is torch's own where the lists are still to be made, where other parameters have a gradient
    than at the step before, and where the device decides whether the update is left out.

    Args:
        optimizer: whose step it is.
        own: torch's.
    """

    def __init__(self, optimizer: Optimizer, own: Callable[[], object]) -> None:
        self._optimizer = optimizer
        self._own = own
        self._kernel_of = _KERNELS[type(optimizer)]
        self._no_grad = torch.no_grad()
        self._groups: list[_Group] = []
        self._state: Any = None
        """That of the optimizer which the groups were made of; None where there are none."""
        self._size = 0
        """Number of parameters that it had something of; a probe that goes back may empty it."""

    def __call__(self) -> None:
        """Update the weights."""
        gradients = self._gradients()
        if gradients is None:
            self._own()
            self._prepare()
            return
        with self._no_grad:
            for group, own in zip(self._groups, gradients, strict=True):
                group.kernel(own)

    def _gradients(self) -> list[list[Tensor]] | None:
        """Return the gradients of each group; None where the step is to be torch's own."""
        optimizer, state = self._optimizer, self._state
        if optimizer.state is not state or len(state) != self._size:
            return None
        if hasattr(optimizer, "found_inf"):
            return None
        gradients = []
        for group in self._groups:
            own = group.gradients()
            if own is None:
                return None
            gradients.append(own)
        return gradients

    def _prepare(self) -> None:
        """Keep the tensors that the step just made has worked on."""
        self._groups, self._state = [], None
        groups = []
        for options in self._optimizer.param_groups:
            stepped = [one for one in options["params"] if one.grad is not None]
            states = [self._optimizer.state.get(one, {}) for one in stepped]
            if not stepped or not all(map(_is_plain, stepped, states)):
                return
            idle = [one for one in options["params"] if one.grad is None]
            kernel = self._kernel_of(options, stepped, states)
            groups.append(_Group(list(zip(stepped, states, strict=True)), idle, kernel))
        self._groups, self._state = groups, self._optimizer.state
        self._size = len(self._state)


def has_kernel(optimizer: Optimizer) -> bool:
    """Whether every group is stepped by one call of a kernel that is known here, on the CPU."""
    return type(optimizer) in _KERNELS and all(
        group.get("fused")
        and not group.get("differentiable")
        and not group.get("capturable")
        and len({(one.device.type, one.dtype) for one in group["params"]}) == 1
        and all(one.device.type == "cpu" for one in group["params"])
        for group in optimizer.param_groups
    )


def _is_plain(parameter: Tensor, state: dict[str, Any]) -> bool:
    """Whether a parameter is a tensor and no part of one, and its state is complete."""
    return type(parameter) in (nn.Parameter, Tensor) and bool(state) and None not in state.values()


def _adam(
    options: dict[str, Any], parameters: list[Tensor], states: list[dict[str, Any]]
) -> Kernel:
    """Return the kernel of a group of Adam or AdamW; see torch.optim.adam._fused_adam."""
    counts = _side_by_side(states)
    averages, squares, largest, steps = (
        [state[name] for state in states if name in state]
        for name in ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step")
    )
    update = torch._fused_adamw_ if options["decoupled_weight_decay"] else torch._fused_adam_

    def kernel(gradients: list[Tensor]) -> None:
        counts.add_(1)
        beta1, beta2 = options["betas"]
        update(
            parameters,
            gradients,
            averages,
            squares,
            largest,
            steps,
            amsgrad=options["amsgrad"],
            lr=options["lr"],
            beta1=beta1,
            beta2=beta2,
            weight_decay=options["weight_decay"],
            eps=options["eps"],
            maximize=options["maximize"],
        )

    return kernel


def _sgd(options: dict[str, Any], parameters: list[Tensor], states: list[dict[str, Any]]) -> Kernel:
    """Return the kernel of a group of SGD with momentum; see torch.optim.sgd._fused_sgd."""
    buffers = [state["momentum_buffer"] for state in states]

    def kernel(gradients: list[Tensor]) -> None:
        momentum = options["momentum"]
        torch._fused_sgd_(
            parameters,
            gradients,
            buffers if momentum != 0 else [],
            weight_decay=options["weight_decay"],
            momentum=momentum,
            lr=options["lr"],
            dampening=options["dampening"],
            nesterov=options["nesterov"],
            maximize=options["maximize"],
            is_first_step=False,
        )

    return kernel


def _side_by_side(states: list[dict[str, Any]]) -> Tensor:
    """Lay the step counts of some states side by side in memory, and return them as one, (n,)."""
    counts = torch.stack([state["step"] for state in states])
    for state, count in zip(states, counts.unbind(), strict=True):
        state["step"] = count
    return counts


_KERNELS = {Adam: _adam, AdamW: _adam, SGD: _sgd}
