"""The training's state in memory: taken at a boundary, put back in place, as often as one likes."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from rheostat.trainer.building import Parts
from rheostat.trainer.checkpoints.gathering import extra_states
from rheostat.trainer.checkpoints.restoring import is_same
from rheostat.trainer.generators import recall_generators, remember_generators
from rheostat.trainer.sharding import part_of

_PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device)

Back = Callable[[], Any]
"""Brings a value to what it was, and returns it."""


class Snapshot:
    """What steps change: weights, buffers, the optimizer, and where the random generators stand.

    Unlike a checkpoint it is put back into the very objects that it was taken of, so whoever holds
    a tensor, a group or a compiled step goes on holding it. Its copies are on the host.

    Args:
        parts: of a run whose next LRs are written and whose next step has not begun.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        keeping = _Keeping()
        model = parts.model
        self._backs = [keeping.keep(parameter) for parameter in model.parameters()]
        self._backs += [keeping.keep(module._buffers) for module in model.modules()]
        self._backs.append(keeping.keep(parts.optimizer))
        self._extra = copy.deepcopy(extra_states(model))
        self._loss_scale = parts.precision.memory()
        self._generators = remember_generators(parts.device)
        self._without_gradient = [one for one in model.parameters() if one.grad is None]

    def restore(self) -> None:
        """Put everything back, bit for bit."""
        with torch.no_grad():
            for back in self._backs:
                back()
        modules = dict(self._parts.model.named_modules())
        for name, extra in self._extra.items():
            modules[name].set_extra_state(copy.deepcopy(extra))
        for parameter in self._without_gradient:
            parameter.grad = None
        self._parts.precision.recall(self._loss_scale)
        recall_generators(self._generators)


class _Keeping:
    """Keeps values of all kinds, each object once."""

    def __init__(self) -> None:
        self._known: dict[int, Back] = {}
        # An object that is gone would lend its id to another.
        self._alive: list[Any] = []

    def keep(self, value: Any) -> Back:
        if isinstance(value, _PLAIN):
            return lambda: value
        known = self._known.get(id(value))
        if known is None:
            # Should it hold itself, somewhere inside, it is under way already.
            self._known[id(value)] = lambda: value
            self._alive.append(value)
            known = self._known[id(value)] = self._kept(value)
        return known

    def _kept(self, value: Any) -> Back:
        if isinstance(value, Tensor):
            return _kept_tensor(value)
        if isinstance(value, Optimizer):
            own = self.keep(vars(value))
            return lambda: (own(), value)[1]
        if isinstance(value, dict):
            return self._kept_dict(value)
        if isinstance(value, list):
            backs = [self.keep(one) for one in value]
            return lambda: _refill(value, [back() for back in backs])
        if isinstance(value, tuple):
            backs = [self.keep(one) for one in value]
            return lambda: ([back() for back in backs], value)[1]
        if callable(value) or isinstance(value, nn.Module):
            return lambda: value
        return _kept_other(value)

    def _kept_dict(self, value: dict[Any, Any]) -> Back:
        backs = {name: self.keep(one) for name, one in value.items()}

        def back() -> dict[Any, Any]:
            items = {name: one() for name, one in backs.items()}
            value.clear()
            value.update(items)
            return value

        return back


def _kept_tensor(tensor: Tensor) -> Back:
    own = part_of(tensor.detach())
    kept = own.to("cpu", copy=True)

    def back() -> Tensor:
        # What is the same anyway may be something that cannot be written to.
        if not is_same(own, kept):
            own.copy_(kept)
        return tensor

    return back


def _kept_other(value: Any) -> Back:
    """Keep a copy of an object that nothing is known of; one that has none stays as it is."""
    try:
        kept = copy.deepcopy(value)
    except Exception:
        return lambda: value
    return lambda: copy.deepcopy(kept)


def _refill(value: list[Any], items: list[Any]) -> list[Any]:
    value[:] = items
    return value
