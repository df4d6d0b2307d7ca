"""Leaving updates out on the device, so that nobody has to wait for a loss before it acts."""

import torch
from torch import Tensor
from torch.optim import Optimizer

from rheostat.trainer.optimizers import parts_of


class Mask:
    """Stops the updates of an optimizer from the first loss on that is not finite.

    Fused kernels look at a number on the device, `found_inf`, before they touch a weight or a
    moment, and count no step where it is 1. A compiled step puts the weights back. So the host may
    learn of that loss steps later, and the weights are those of before it.

    Args:
        optimizer: one that `can_mask`.
        device: where it steps.
    """

    def __init__(self, optimizer: Optimizer, device: torch.device) -> None:
        self.has_failed = torch.zeros((), device=device)
        """() 1 from a loss that was not finite on, until then 0."""
        self._found = torch.zeros((), device=device)
        self._parts = parts_of(optimizer)
        for part in self._parts:
            _begin_momenta(part)

    def look(self, loss: Tensor, overflow: Tensor | None = None) -> None:
        """Decide about the update that comes next, from its () loss and what `unscale` found."""
        failed = torch.isfinite(loss.detach()).logical_not()
        self.has_failed.copy_(torch.maximum(self.has_failed, failed.float()))
        self._found.copy_(self.has_failed)
        if overflow is not None:
            self._found.copy_(torch.maximum(self._found, overflow.clamp(max=1.0)))

    def __enter__(self) -> None:
        for part in self._parts:
            part.found_inf, part.grad_scale = self._found, None  # type: ignore[attr-defined]

    def __exit__(self, *raised: object) -> None:
        for part in self._parts:
            del part.found_inf, part.grad_scale  # type: ignore[attr-defined]


def can_mask(optimizer: Optimizer) -> bool:
    """Whether every group is stepped by a kernel that can leave an update out on the device."""
    return all(
        getattr(part, "_step_supports_amp_scaling", False)
        and all(group.get("fused") for group in part.param_groups)
        # Its first step is without dampening, and one left out would count as the first.
        and not any(group.get("dampening") for group in part.param_groups)
        for part in parts_of(optimizer)
    )


def _begin_momenta(optimizer: Optimizer) -> None:
    """Make the momenta of SGD, 0 each, which is where its first step would begin too.

    torch makes them in that step, of memory as it comes, and fills them only if it is not left out.
    """
    if not isinstance(optimizer, torch.optim.SGD):
        return
    for group in optimizer.param_groups:
        for parameter in group["params"] if group["momentum"] else ():
            state = optimizer.state[parameter]
            if state.get("momentum_buffer") is None:
                state["momentum_buffer"] = torch.zeros_like(parameter)
