"""The hand on the optimizer: the only code that writes an LR or a momentum."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class Actuator:
    """Writes LRs and momenta into an optimizer's groups, only where they changed.

    Each group keeps its LR in the carrier that its kernels want: a float, or a tensor of its own
    that is filled in place where a compiled step, or a captured or fused CUDA kernel, reads it by
    address. A shadow on the host remembers what was written, so that nothing is ever read back from
    the device.

    Args:
        optimizer: whose LRs are written.
        is_compiled: whether its step is compiled.
        momenta: `momenta_of` the optimizer as it was built, where it has been to a schedule that
            moved them since; None is to ask it now.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        is_compiled: bool = False,
        momenta: Sequence[float | None] | None = None,
    ) -> None:
        self._groups: list[dict[str, Any]] = optimizer.param_groups
        self._own_momenta = momenta_of(optimizer) if momenta is None else momenta
        self._written = [math.nan] * len(self._groups)
        self._written_momenta = [math.nan] * len(self._groups)
        for group in self._groups:
            if is_compiled or _wants_tensor(group):
                device = group["params"][0].device
                # Fused kernels take nothing else; elsewhere every bit of the LR is kept.
                dtype = torch.float32 if group.get("fused") else _widest_float(device)
                # A clone each: one tensor passed to the constructor is shared by all groups.
                group["lr"] = torch.tensor(float(group["lr"]), dtype=dtype, device=device)

    def write(self, learning_rates: Sequence[float]) -> None:
        """Make these the LRs of the next optimizer step, one per group in order."""
        written = self._written
        for index, lr in enumerate(learning_rates):
            if lr != written[index]:
                written[index] = lr
                carrier = self._groups[index]["lr"]
                if isinstance(carrier, Tensor):
                    carrier.fill_(lr)
                else:
                    self._groups[index]["lr"] = lr

    def write_momenta(self, momenta: Sequence[float | None]) -> None:
        """Make these the momenta (or beta1) of the next step; None is the group's own."""
        for index, moved in enumerate(momenta):
            momentum = self._own_momenta[index] if moved is None else moved
            if momentum is None or momentum == self._written_momenta[index]:
                continue
            self._written_momenta[index] = momentum
            group = self._groups[index]
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            else:
                group["momentum"] = momentum

    def read(self) -> list[float]:
        """Return the LRs that stand in the optimizer; on a GPU this waits for the device."""
        return [float(group["lr"]) for group in self._groups]


def momenta_of(optimizer: Optimizer) -> tuple[float | None, ...]:
    """Return the momentum (or beta1) of each group, None where it has none."""
    return tuple(
        group["betas"][0] if "betas" in group else group.get("momentum")
        for group in optimizer.param_groups
    )


def _widest_float(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64


def _wants_tensor(group: dict[str, Any]) -> bool:
    """Whether a group's kernels read the LR on the device.

    Elsewhere a tensor is a loss: eager Adam without `capturable` drops its foreach path for one.
    """
    on_cuda = group["params"][0].is_cuda
    return bool(group.get("capturable")) or (bool(group.get("fused")) and on_cuda)
