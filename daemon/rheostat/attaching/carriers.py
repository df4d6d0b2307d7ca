"""Where an optimizer keeps its LRs: read as the script left them, lent another value for a step."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer


class Carriers:
    """The `lr` of each param group of a script's optimizer.

    A float is replaced for the step and put back, the very object. A tensor, which compiled,
    captured and fused kernels read by its address, is filled in place and filled back. It is read
    only when it has been written to since, because on a GPU that waits for the device.

    Args:
        optimizer: the script's.
        count: number of groups that are steered; those that the script adds later are left alone.
    """

    def __init__(self, optimizer: Optimizer, count: int) -> None:
        self._optimizer = optimizer
        self._count = count
        self._seen: list[tuple[Tensor, int, float] | None] = [None] * count
        self._lent: list[tuple[int, dict[str, Any], Any, float]] = []

    def read(self) -> list[float]:
        """Return the LR of each group as the script's scheduler, or the script, has left it."""
        # Looked up anew: loading a state replaces the groups.
        groups = self._optimizer.param_groups
        if len(groups) > self._count:
            groups = groups[: self._count]
        return [
            lr if type(lr := group["lr"]) is float else self._number(index, lr)
            for index, group in enumerate(groups)
        ]

    def lend(self, learning_rates: Sequence[float], own: Sequence[float]) -> None:
        """Let the groups have these LRs until `take_back`; one that equals its own is not touched.

        Args:
            learning_rates: one per group.
            own: what `read` returned.
        """
        for index, lr in enumerate(learning_rates):
            if lr != own[index]:
                group = self._optimizer.param_groups[index]
                carrier = group["lr"]
                self._lent.append((index, group, carrier, lr))
                if isinstance(carrier, Tensor):
                    carrier.fill_(lr)
                else:
                    group["lr"] = lr

    def take_back(self, own: Sequence[float]) -> None:
        """Put back what was there, unless the optimizer itself has changed it meanwhile."""
        for index, group, carrier, lr in self._lent:
            if isinstance(carrier, Tensor):
                carrier.fill_(own[index])
                self._seen[index] = (carrier, carrier._version, own[index])
            elif group["lr"] == lr:
                group["lr"] = carrier
        self._lent.clear()

    def _number(self, index: int, lr: Any) -> float:
        if not isinstance(lr, Tensor):
            return float(lr)
        seen = self._seen[index]
        if seen is not None and seen[0] is lr and seen[1] == lr._version:
            return seen[2]
        value = float(lr.detach())
        self._seen[index] = (lr, lr._version, value)
        return value
