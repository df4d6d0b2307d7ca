"""Everything a run is between two steps."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from rheostat.runs.messages import Unacknowledged

MODEL = "model"
OPTIMIZER = "optimizer"
LOOP = "loop"

Tensors = Mapping[str, Mapping[str, Tensor]]
"""By what they belong to: the model, the optimizer, or the loop with what it has measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a run needs to go on as if nothing had happened.

    As it is gathered, its tensors are those that the run goes on to change; `HostCopies.take` makes
    one that stays.
    """

    step: int
    """Number of finished steps, and so the index of the next, whose LRs are settled already."""
    revision: int
    validation_loss: float | None
    """Measured after this very step; None where it was not."""
    tensors: Tensors
    plain: dict[str, Any]
    """All the rest, as JSON takes it; NaN and infinities included."""
    unacknowledged: Unacknowledged
    """What the daemon may not have written down yet."""


class HostCopies:
    """Room on the host for the tensors of a state, kept from one copy to the next.

    Memory that was never touched costs ten times the copying itself, page by page; so the room can
    be made beforehand, in another thread.
    """

    def __init__(self) -> None:
        self._room: dict[tuple[str, str], Tensor] = {}

    def fits(self, tensors: Tensors) -> bool:
        """Whether there is room for all of them."""
        return all(
            _fits(self._room.get((part, name)), tensor)
            for part, named in tensors.items()
            for name, tensor in named.items()
        )

    def make_room(self, tensors: Tensors) -> None:
        """Make room for tensors of these shapes and types, and touch it."""
        room = {}
        for part, named in tensors.items():
            for name, tensor in named.items():
                known = self._room.get((part, name))
                if known is None or not _fits(known, tensor):
                    known = torch.zeros(
                        tensor.shape, dtype=tensor.dtype, pin_memory=tensor.device.type == "cuda"
                    )
                room[part, name] = known
        self._room = room

    def take(self, state: State) -> State:
        """Return a copy of a state that stays as it is until the next is taken."""
        self.make_room(state.tensors)
        room, waits = self._room, False
        copies: dict[str, dict[str, Tensor]] = {}
        for part, named in state.tensors.items():
            copies[part] = {name: room[part, name] for name in named}
            waits = waits or any(one.is_cuda for one in named.values())
            if named:
                torch._foreach_copy_(
                    list(copies[part].values()), list(named.values()), non_blocking=True
                )
        if waits:
            torch.cuda.current_stream().synchronize()
        return replace(state, tensors=copies)


def _fits(room: Tensor | None, tensor: Tensor) -> bool:
    return room is not None and room.shape == tensor.shape and room.dtype == tensor.dtype
