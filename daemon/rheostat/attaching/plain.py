"""A script's `optimizer.step` without what torch puts around it for profilers and hooks."""

from collections.abc import Callable
from typing import Any

import torch
from torch.autograd import _profiler_enabled  # type: ignore[attr-defined]
from torch.optim import Optimizer

from rheostat.trainer.shortcuts import has_hooks, unwrapped_step

_TRACKED = "_wrapped_by_lr_sched"
"""Says of a step that a scheduler of torch's wants to know whether it was ever called."""


class PlainStep:
    """Calls an optimizer's step, the short way where nobody is told of it: the same arithmetic.

    torch looks for hooks and opens a record for its profiler around every step, which takes a short
    one longer than attach does. Where a closure is given, hooks are registered, a profiler records,
    something is compiled, or somebody else has put a step of their own, it is the long way.

    Args:
        optimizer: the script's.
        original: its step, as it was found.
    """

    def __init__(self, optimizer: Optimizer, original: Callable[..., Any]) -> None:
        self._optimizer = optimizer
        self._original = original
        self._is_tracked = False
        self._plain = self._find()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Take the step, and return what it returns."""
        plain, optimizer = self._plain, self._optimizer
        if plain is None or args or kwargs or _is_recorded() or has_hooks(optimizer):
            return self._original(*args, **kwargs)
        if self._is_tracked:
            optimizer._opt_called = True  # type: ignore[attr-defined]
        return plain(optimizer)

    def _find(self) -> Callable[[Optimizer], Any] | None:
        """Return the class's own function; None where another has taken its place."""
        inside: Any = getattr(self._original, "__func__", self._original)
        if getattr(inside, _TRACKED, False):
            self._is_tracked = True
            inside = getattr(inside, "__wrapped__", None)
        return unwrapped_step(self._optimizer) if inside is type(self._optimizer).step else None


def _is_recorded() -> bool:
    return _profiler_enabled() or torch.compiler.is_compiling()
