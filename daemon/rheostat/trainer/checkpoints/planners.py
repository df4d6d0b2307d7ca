"""Which parts of which tensors a process writes and reads, as torch's checkpoints ask for it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner, DefaultSavePlanner
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.planner import (
    LoadPlan,
    SavePlan,
    TensorWriteData,
    WriteItem,
    WriteItemType,
)
from torch.distributed.checkpoint.planner_helpers import create_read_items_for_chunk_list

from rheostat.trainer.checkpoints.index import Index
from rheostat.trainer.checkpoints.state import Places, Tensors
from rheostat.trainer.sharding import Place, place_of

Key = tuple[str, str]
"""What a tensor belongs to, and its name."""


def key_of(fqn: str) -> Key:
    """Return the key of what torch knows under one text."""
    part, name = fqn.split("/", 1)
    return part, name


def fqn_of(key: Key) -> str:
    """Return the one text."""
    return "/".join(key)


def named(tensors: Tensors) -> dict[str, Tensor]:
    """Return tensors under one text each."""
    return {
        fqn_of((part, name)): one for part, some in tensors.items() for name, one in some.items()
    }


class Parts:
    """Where a process's tensors lie in the whole ones.

    Args:
        places: of those that are cut.
    """

    def __init__(self, places: Places) -> None:
        self._places = places

    def place(self, fqn: str, tensor: Tensor) -> Place:
        """Return the place of a tensor; everywhere, if it is not cut."""
        part, name = key_of(fqn)
        return self._places.get(part, {}).get(name) or place_of(tensor)


def _chunk(place: Place) -> ChunkStorageMetadata:
    return ChunkStorageMetadata(torch.Size(place.offsets), torch.Size(place.sizes))


class PartsSavePlanner(DefaultSavePlanner):
    """Writes what this process has; torch sees that nothing overlaps and nothing is missing."""

    def __init__(self, places: Places) -> None:
        super().__init__(flatten_state_dict=False, flatten_sharded_tensors=False)
        self._parts = Parts(places)

    def create_local_plan(self) -> SavePlan:
        """Plan one block of each tensor, none where this process has nothing of it."""
        items = []
        for fqn, tensor in self.state_dict.items():
            place = self._parts.place(fqn, tensor)
            if tensor.numel() == 0 and place.sizes != place.shape:
                continue
            data = TensorWriteData(
                chunk=_chunk(place),
                properties=TensorProperties(dtype=tensor.dtype),
                size=torch.Size(place.shape),
            )
            is_cut = place.sizes != place.shape
            kind = WriteItemType.SHARD if is_cut else WriteItemType.TENSOR
            items.append(WriteItem(MetadataIndex(fqn, place.offsets), kind, tensor_data=data))
        self.plan = SavePlan(items)
        return self.plan

    def lookup_object(self, index: MetadataIndex) -> Any:
        """Return this process's part of a tensor."""
        return self.state_dict[index.fqn]


class PartsLoadPlanner(DefaultLoadPlanner):
    """Reads what this process is to have, whoever wrote it."""

    def __init__(self, places: Places) -> None:
        super().__init__(flatten_state_dict=False, flatten_sharded_tensors=False)
        self._parts = Parts(places)

    def create_local_plan(self) -> LoadPlan:
        """Plan the blocks that this process's parts are put together of."""
        assert self.metadata is not None
        items = []
        for fqn, tensor in self.state_dict.items():
            if tensor.numel() == 0:
                continue
            stored = self.metadata.state_dict_metadata[fqn]
            assert isinstance(stored, TensorStorageMetadata)
            items += create_read_items_for_chunk_list(
                fqn, stored, [_chunk(self._parts.place(fqn, tensor))]
            )
        return LoadPlan(items)

    def lookup_tensor(self, index: MetadataIndex) -> Tensor:
        """Return where a part goes."""
        tensor: Tensor = self.state_dict[index.fqn]
        return tensor


def metadata_of(index: Index) -> Metadata:
    """Return an index in the terms of torch's checkpoints."""
    stored: Mapping[str, TensorStorageMetadata] = {
        fqn_of((part, name)): TensorStorageMetadata(
            properties=TensorProperties(dtype=one.torch_dtype()),
            size=torch.Size(one.shape),
            chunks=[
                ChunkStorageMetadata(torch.Size(block.offsets), torch.Size(block.sizes))
                for block in one.parts
            ],
        )
        for part, some in index.tensors.items()
        for name, one in some.items()
    }
    return Metadata(dict(stored))
