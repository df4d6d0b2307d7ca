"""The torch optimizer inside what libraries put around one."""

from typing import Any

from torch.optim import Optimizer

from rheostat.errors import InvalidRequest, Violation


def unwrapped(optimizer: Any) -> Optimizer:
    """Return the torch optimizer inside what libraries put around one.

    Raises:
        InvalidRequest: if there is none.
    """
    found = optimizer
    while not isinstance(found, Optimizer) or _is_wrapper(found):
        inner = getattr(found, "optimizer", None)
        if inner is None or inner is found:
            expected = "a torch.optim.Optimizer, or what has one as its attribute `optimizer`"
            raise InvalidRequest([Violation("optimizer", type(optimizer).__name__, expected)])
        found = inner
    return found


def _is_wrapper(optimizer: Optimizer) -> bool:
    """Whether an optimizer hands its steps on to another one, as Accelerate's does."""
    return isinstance(getattr(optimizer, "optimizer", None), Optimizer)
