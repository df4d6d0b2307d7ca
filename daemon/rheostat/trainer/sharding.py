"""Tensors of which each process has a part: the part, the whole, and the way between them.

Everywhere else a tensor is its own part and its own whole.
"""

from typing import Any

from torch import Tensor


def part_of(tensor: Tensor) -> Tensor:
    """Return this process's part, which shares its memory."""
    local: Tensor = tensor.to_local() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]
    return local


def whole_of(tensor: Tensor) -> Tensor:
    """Return the whole; where processes have parts, all of them must ask at the same time."""
    whole: Tensor = tensor.full_tensor() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]
    return whole


def like(own: Tensor, whole: Tensor) -> Tensor:
    """Return a whole tensor in the form of another: this process's part where that one is.

    Nothing is exchanged: every process has the same whole.
    """
    if not is_sharded(own):
        return whole
    from torch.distributed.tensor import distribute_tensor

    dtensor: Any = own
    sharded: Tensor = distribute_tensor(
        whole.to(own.device), dtensor.device_mesh, dtensor.placements, src_data_rank=None
    )
    return sharded


def is_sharded(tensor: Tensor) -> bool:
    """Whether a tensor is a `DTensor`, whose module takes a while to import."""
    return hasattr(tensor, "device_mesh")
