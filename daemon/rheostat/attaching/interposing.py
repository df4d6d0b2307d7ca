"""Something done right before and after every step of an optimizer, whoever calls it."""

from collections.abc import Callable
from functools import wraps
from types import MethodType
from typing import Any

from torch.optim import Optimizer

from rheostat.attaching.plain import PlainStep


class Interposed:
    """Stands around `optimizer.step` of one optimizer, until it is told to go.

    An attribute of the optimizer and not one of torch's step hooks: the first `torch.compile` of a
    process takes these from every optimizer class for good. It is a bound method, as torch's
    schedulers expect when they put a counter of their own around it.

    Args:
        optimizer: the script's.
        before: called before the step; what it raises, the caller of `step` gets.
        after: called after it, with whether the step came to its end.
    """

    def __init__(
        self, optimizer: Optimizer, before: Callable[[], None], after: Callable[[bool], None]
    ) -> None:
        self._optimizer = optimizer
        self.before = before
        """Called before the next step; another may take its place."""
        self._original = optimizer.step
        self._had_own = "step" in vars(optimizer)
        self._is_gone = False
        original, call = self._original, PlainStep(optimizer, self._original)

        @wraps(getattr(original, "__func__", original))
        def step(optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
            if self._is_gone:
                return original(*args, **kwargs)
            self.before()
            is_done = False
            try:
                result = call(*args, **kwargs)
                is_done = True
            finally:
                after(is_done)
            return result

        self._step = MethodType(step, optimizer)
        optimizer.step = self._step  # type: ignore[method-assign]

    def remove(self) -> None:
        """Let the optimizer's own step be called again, however many others stand around it."""
        self._is_gone = True
        if vars(self._optimizer).get("step") is self._step:
            if self._had_own:
                self._optimizer.step = self._original  # type: ignore[method-assign]
            else:
                del self._optimizer.step
