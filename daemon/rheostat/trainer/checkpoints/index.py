"""Which file of a checkpoint has which part of which tensor, where each process wrote its own."""

import math
from collections.abc import Iterable
from pathlib import Path

import msgspec
import torch

from rheostat.runs.checkpoints import BadCheckpoint, Manifest

INDEX_FILE = "index.json"


class StoredPart(msgspec.Struct, frozen=True, kw_only=True):
    """A block of a tensor; it has the tensor's name in its file."""

    file: str
    offsets: tuple[int, ...]
    """Of its first element in the whole."""
    sizes: tuple[int, ...]


class StoredTensor(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor, in one part or several, which do not overlap."""

    dtype: str
    """As torch calls it, `float32`."""
    shape: tuple[int, ...]
    parts: tuple[StoredPart, ...]

    def torch_dtype(self) -> torch.dtype:
        """Return its type.

        Raises:
            BadCheckpoint: if torch knows none of that name.
        """
        found = getattr(torch, self.dtype, None)
        if not isinstance(found, torch.dtype):
            raise BadCheckpoint(f"{INDEX_FILE} names a type {self.dtype!r}, which torch has not")
        return found


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """All tensors of model and optimizer: by `model` or `optimizer`, and by name."""

    tensors: dict[str, dict[str, StoredTensor]]

    def files(self) -> set[str]:
        """Return the names of the files that have them."""
        return {part.file for one in self._all() for part in one.parts}

    def _all(self) -> Iterable[StoredTensor]:
        return (one for named in self.tensors.values() for one in named.values())


def read_index(path: Path, manifest: Manifest) -> Index | None:
    """Return the index of a checkpoint, None where each tensor is in one file.

    Raises:
        BadCheckpoint: if it is not what an index is, or some tensor has a gap.
    """
    file = path / INDEX_FILE
    if INDEX_FILE not in manifest.files:
        return None
    try:
        index = msgspec.json.decode(file.read_bytes(), type=Index)
    except (OSError, msgspec.DecodeError) as error:
        raise BadCheckpoint(f"checkpoint {path}: {INDEX_FILE} is damaged: {error}") from error
    for part, named in index.tensors.items():
        for name, one in named.items():
            if not _is_complete(one):
                raise BadCheckpoint(f"checkpoint {path}: {part} has not all of {name}")
    return index


def _is_complete(tensor: StoredTensor) -> bool:
    """Whether the parts lie within a tensor and are as large together."""
    for part in tensor.parts:
        if not len(part.offsets) == len(part.sizes) == len(tensor.shape):
            return False
        for offset, size, whole in zip(part.offsets, part.sizes, tensor.shape, strict=True):
            if offset < 0 or size < 0 or offset + size > whole:
                return False
    return sum(math.prod(part.sizes) for part in tensor.parts) == math.prod(tensor.shape)
