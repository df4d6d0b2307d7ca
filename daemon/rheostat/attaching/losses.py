"""A script's losses on their way to the host, without letting a GPU run dry."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rheostat.errors import InvalidRequest, Violation

Late = Callable[[], float]
"""Returns a loss once it is here."""


class Losses:
    """The losses given since the last step; several, of micro-batches, count as their mean.

    A loss on the CPU is read at once. Of one on a GPU a copy is begun, and waited for at the next
    boundary only: by then a whole forward and backward pass is queued behind it.
    """

    def __init__(self) -> None:
        self.is_late = False
        """Whether some of them may not be here yet."""
        self._taken: list[float | Late] = []

    def add(self, loss: Any) -> None:
        """Take a loss: a number, or a tensor with one element.

        Raises:
            InvalidRequest: if it is none.
        """
        if isinstance(loss, Tensor) and not loss.is_cpu:
            if loss.numel() != 1:
                raise _no_number(loss)
            self._taken.append(_on_its_way(loss.detach()))
            self.is_late = True
            return
        try:
            self._taken.append(float(loss.item() if isinstance(loss, Tensor) else loss))
        except (TypeError, ValueError, RuntimeError):
            raise _no_number(loss) from None

    def take(self) -> float | None:
        """Return the mean of what was given since the last time; None where nothing was."""
        taken = self._taken
        if not taken:
            return None
        if len(taken) == 1 and not self.is_late:
            return taken.pop()  # type: ignore[return-value]
        self._taken, self.is_late = [], False
        here = [one if isinstance(one, float) else one() for one in taken]
        return here[0] if len(here) == 1 else sum(here) / len(here)


def _on_its_way(loss: Tensor) -> Late:
    if loss.device.type != "cuda":
        return lambda: float(loss)
    host = torch.empty((), dtype=torch.float32, pin_memory=True)
    host.copy_(loss.reshape(()), non_blocking=True)
    copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
    copied.record()

    def wait() -> float:
        copied.synchronize()
        return float(host)

    return wait


def _no_number(given: Any) -> InvalidRequest:
    shape = f" of shape {tuple(given.shape)}" if isinstance(given, Tensor) else ""
    expected = "the loss of the step: a number, or a tensor with one element"
    return InvalidRequest([Violation("loss", f"a {type(given).__name__}{shape}", expected)])
