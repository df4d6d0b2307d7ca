"""The global random generators, for several runs that take turns in one process."""

import random
from types import TracebackType
from typing import Any

import numpy as np
import torch


class Generators:
    """One run's own view of the generators that everybody in the process shares, on the CPU.

    Within the block they go on where this run left them, and after it where the others did: so
    neither a run beside it nor a learner changes what a run draws, such as its dropout.
    """

    def __init__(self) -> None:
        self._own: tuple[Any, ...] | None = None
        self._others: tuple[Any, ...] = ()

    def __enter__(self) -> None:
        self._others = _state()
        if self._own is not None:
            _restore(self._own)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._own = _state()
        _restore(self._others)


def _state() -> tuple[Any, ...]:
    return random.getstate(), np.random.get_state(), torch.get_rng_state()


def _restore(state: tuple[Any, ...]) -> None:
    random.setstate(state[0])
    np.random.set_state(state[1])
    torch.set_rng_state(state[2])
