"""Everything a run is between two steps."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rheostat.runs.messages import Unacknowledged
from rheostat.trainer.sharding import Place, is_sharded, part_of, place_of

MODEL = "model"
OPTIMIZER = "optimizer"
LOOP = "loop"

Tensors = Mapping[str, Mapping[str, Tensor]]
"""By what they belong to: the model, the optimizer, or the loop with what it has measured."""
Places = Mapping[str, Mapping[str, Place]]
"""The same."""


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
    places: Places = field(default_factory=dict)
    """Of a copy, where those of its tensors lie of which the other processes have the rest."""
    path: Path | None = None
    """Where it was read; None for one that was not."""


class HostCopies:
    """Room on the host for this process's parts of a state, kept from one copy to the next.

    Memory that was never touched costs ten times the copying itself, page by page; so the room can
    be made beforehand, in another thread.
    """

    def __init__(self) -> None:
        self._room: dict[tuple[str, str], Tensor] = {}
        self._places: dict[str, dict[str, Place]] = {}

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
        places: dict[str, dict[str, Place]] = {part: {} for part in tensors}
        for part, named in tensors.items():
            for name, tensor in named.items():
                known = self._room.get((part, name))
                if known is None or not _fits(known, tensor):
                    own = part_of(tensor)
                    known = torch.zeros(
                        own.shape, dtype=own.dtype, pin_memory=own.device.type == "cuda"
                    )
                room[part, name] = known
                if is_sharded(tensor):
                    place = self._places.get(part, {}).get(name)
                    is_known = place is not None and place.shape == tensor.shape
                    places[part][name] = place if place and is_known else place_of(tensor)
        self._room, self._places = room, places

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
                    list(copies[part].values()), [*map(part_of, named.values())], non_blocking=True
                )
        if waits:
            torch.cuda.current_stream().synchronize()
        return replace(state, tensors=copies, places=self._places)


def _fits(room: Tensor | None, tensor: Tensor) -> bool:
    own = part_of(tensor)
    return room is not None and room.shape == own.shape and room.dtype == own.dtype
