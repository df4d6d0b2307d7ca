"""Tensors of which each process has a part: the part, the whole, and the way between them.

Everywhere else a tensor is its own part and its own whole.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process's part lies in the whole tensor."""

    shape: tuple[int, ...]
    """Of the whole."""
    offsets: tuple[int, ...]
    """Of the part's first element."""
    sizes: tuple[int, ...]
    """Of the part, which may be empty."""


def part_of(tensor: Tensor) -> Tensor:
    """Return this process's part, which shares its memory."""
    local: Tensor = tensor.to_local() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]
    return local


def place_of(tensor: Tensor) -> Place:
    """Return where this process's part of a tensor lies: everywhere, where it has it all."""
    shape = tuple(tensor.shape)
    if not is_sharded(tensor):
        return Place(shape, (0,) * len(shape), shape)
    [chunk] = tensor.__create_chunk_list__()  # type: ignore[attr-defined]
    return Place(shape, tuple(chunk.offsets), tuple(chunk.sizes))


def whole_of(tensor: Tensor) -> Tensor:
    """Return the whole; where processes have parts, all of them must ask at the same time."""
    whole: Tensor = tensor.full_tensor() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]
    return whole


def like(own: Tensor, other: Tensor) -> Tensor:
    """Return a tensor in the form of another: this process's part where that one is.

    Nothing is exchanged: every process has the same whole, or its own part already.
    """
    if not is_sharded(own) or is_sharded(other):
        return other
    from torch.distributed.tensor import distribute_tensor

    dtensor: Any = own
    sharded: Tensor = distribute_tensor(
        other.to(own.device), dtensor.device_mesh, dtensor.placements, src_data_rank=None
    )
    return sharded


def with_part(own: Tensor, part: Tensor) -> Tensor:
    """Return a tensor cut as another, of the same shape, of which this process has a given part."""
    from torch.distributed.tensor import DTensor

    dtensor: Any = own
    return DTensor.from_local(
        part,
        dtensor.device_mesh,
        dtensor.placements,
        run_check=False,
        shape=own.shape,
        stride=torch.empty(own.shape, device="meta").stride(),
    )


def is_sharded(tensor: Tensor) -> bool:
    """Whether a tensor is a `DTensor`, whose module takes a while to import."""
    return hasattr(tensor, "device_mesh")
