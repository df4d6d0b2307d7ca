"""The global random generators: kept, put back, and shared by runs that take turns."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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


def remember_generators(device: torch.device) -> dict[str, Any]:
    """Return where the generators of every library stand, as plain data and tensors."""
    kept = {
        "python": random.getstate(),
        "numpy": _plain(np.random.get_state(legacy=False)),
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        kept["cuda"] = torch.cuda.get_rng_state_all()
    elif device.type == "mps":
        kept["mps"] = torch.mps.get_rng_state()
    return kept


def recall_generators(kept: Mapping[str, Any]) -> None:
    """Let the generators go on from where `remember_generators` found them."""
    random.setstate(kept["python"])
    numpy = kept["numpy"]
    key = np.array(numpy["state"]["key"], dtype=np.uint32)
    np.random.set_state({**numpy, "state": {**numpy["state"], "key": key}})
    torch.set_rng_state(kept["torch"])
    if "cuda" in kept:
        torch.cuda.set_rng_state_all(kept["cuda"])
    if "mps" in kept:
        torch.mps.set_rng_state(kept["mps"])


@contextmanager
def undisturbed(device: torch.device) -> Iterator[None]:
    """Draw in the block whatever it takes; after it, the generators are where they were."""
    kept = remember_generators(device)
    try:
        yield
    finally:
        recall_generators(kept)


def _plain(state: Any) -> dict[str, Any]:
    """Return the state of numpy's generator with a list in the place of its array."""
    inner = {**state["state"], "key": state["state"]["key"].tolist()}
    return {**state, "state": inner}


def _state() -> tuple[Any, ...]:
    return random.getstate(), np.random.get_state(), torch.get_rng_state()


def _restore(state: tuple[Any, ...]) -> None:
    random.setstate(state[0])
    np.random.set_state(state[1])
    torch.set_rng_state(state[2])
