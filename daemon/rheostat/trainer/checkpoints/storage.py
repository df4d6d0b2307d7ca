"""Torch's checkpoints as files of ours: tensors, plain data, and nothing that could be executed."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from safetensors import safe_open
from torch import Tensor
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata
from torch.distributed.checkpoint.planner import (
    LoadPlan,
    LoadPlanner,
    ReadItem,
    SavePlan,
    SavePlanner,
)
from torch.distributed.checkpoint.storage import StorageReader, StorageWriter, WriteResult
from torch.futures import Future

from rheostat.runs.checkpoints import CheckpointInfo, FileInfo, measure
from rheostat.runs.durably import write_durably
from rheostat.trainer.checkpoints.drafts import Draft
from rheostat.trainer.checkpoints.files import file_of_rank, read_block, write_rest, write_tensors
from rheostat.trainer.checkpoints.index import INDEX_FILE, Index, StoredPart, StoredTensor
from rheostat.trainer.checkpoints.planners import key_of, metadata_of
from rheostat.trainer.checkpoints.state import State

Finish = Callable[[dict[str, FileInfo]], CheckpointInfo]
"""Makes a checkpoint of files that are on the disk."""


@contextmanager
def _portable() -> Iterator[None]:
    """Raise what can be sent: the others would wait for an exception that cannot."""
    try:
        yield
    except Exception as error:
        raise OSError(str(error) or type(error).__name__) from error


class PartWriter(StorageWriter):
    """Writes what this process has of model and optimizer, a file for each.

    Args:
        draft: where to.
        rank: of this process.
        world_size: number of those that write.
    """

    def __init__(self, draft: Draft, rank: int, world_size: int) -> None:
        self._draft = draft
        self._rank = rank
        self._world_size = world_size

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        """Begin anew, which takes nothing."""

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        """Get ready; the folder is the first process's affair."""

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        """Leave the plan as it is."""
        return plan

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        """Leave the plans as they are."""
        return plans

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        """Write this process's blocks, and tell of each which file has it.

        Raises:
            OSError: if the disk does not take them.
        """
        done: Future[list[WriteResult]] = Future()
        with _portable():
            done.set_result(self._write(plan, planner))
        return done

    def _write(self, plan: SavePlan, planner: SavePlanner) -> list[WriteResult]:
        results = []
        blocks: dict[str, dict[str, Tensor]] = defaultdict(dict)
        for item in plan.items:
            part, name = key_of(item.index.fqn)
            block = planner.resolve_data(item)
            assert isinstance(block, Tensor)
            blocks[part][name] = block
        for part, tensors in blocks.items():
            file = file_of_rank(part, self._rank, self._world_size)
            info = write_tensors(self._draft.path / file, tensors)
            results += [
                WriteResult(
                    item.index, blocks[part][key_of(item.index.fqn)[1]].nbytes, (file, info)
                )
                for item in plan.items
                if key_of(item.index.fqn)[0] == part
            ]
        return results

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        """Do nothing: the first process does it."""

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        """Say no: where to write is told otherwise."""
        return False


class FirstPartWriter(PartWriter):
    """Writes the first process's part and all that is not cut, and finishes the checkpoint.

    Args:
        draft: where to.
        world_size: number of processes that write.
        state: what the first process has.
        finish: is called once everything is on the disk.
    """

    def __init__(self, draft: Draft, world_size: int, state: State, finish: Finish) -> None:
        super().__init__(draft, 0, world_size)
        self._state = state
        self._finish = finish
        self.info: CheckpointInfo | None = None
        """Of the checkpoint, once there is one."""

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        """Make the folder, before anybody is told to write there."""
        with _portable():
            self._draft.begin()

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        """Add the index and what else a checkpoint has, and move it to its place.

        Raises:
            OSError: if the disk does not take it.
        """
        with _portable():
            self._complete(metadata, results)

    def _complete(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        files: dict[str, FileInfo] = {}
        stored: dict[str, list[StoredPart]] = defaultdict(list)
        for result in (one for some in results for one in some):
            file, info = result.storage_data
            files[file] = info
            fqn, offsets = result.index.fqn, result.index.offset
            described = metadata.state_dict_metadata[fqn]
            assert isinstance(described, TensorStorageMetadata)
            assert offsets is not None
            [sizes] = [one.sizes for one in described.chunks if one.offsets == offsets]
            stored[fqn].append(StoredPart(file=file, offsets=tuple(offsets), sizes=tuple(sizes)))
        for file, info in files.items():
            found = (self._draft.path / file).stat().st_size
            if found != info.bytes:
                raise OSError(
                    f"{file} has {found} bytes here, and {info.bytes} where it was written"
                )
        index = Index(tensors={part: {} for part, _ in map(key_of, stored)})
        for fqn, parts in stored.items():
            part, name = key_of(fqn)
            described = metadata.state_dict_metadata[fqn]
            assert isinstance(described, TensorStorageMetadata)
            index.tensors[part][name] = StoredTensor(
                dtype=str(described.properties.dtype).removeprefix("torch."),
                shape=tuple(described.size),
                parts=tuple(parts),
            )
        write_durably(self._draft.path / INDEX_FILE, msgspec.json.encode(index))
        files[INDEX_FILE] = measure(self._draft.path / INDEX_FILE)
        self.info = self._finish(files | write_rest(self._draft.path, self._state))


class PartReader(StorageReader):
    """Reads the blocks that this process is to have from whichever files have them.

    Args:
        path: of the checkpoint.
        index: of it.
    """

    def __init__(self, path: Path, index: Index) -> None:
        self._path = path
        self._index = index

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        """Begin anew, which takes nothing."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """Return the index in torch's terms."""
        return metadata_of(self._index)

    def set_up_storage_reader(
        self, metadata: Metadata, is_coordinator: bool, *args: Any, **kwargs: Any
    ) -> None:
        """Get ready, which takes nothing."""

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        """Leave the plan as it is."""
        return plan

    def prepare_global_plan(self, plans: list[LoadPlan]) -> list[LoadPlan]:
        """Leave the plans as they are."""
        return plans

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        """Read one file after the other, of each only what is wanted."""
        wanted: dict[str, list[ReadItem]] = defaultdict(list)
        for item in plan.items:
            wanted[self._file_of(item)].append(item)
        for name, items in wanted.items():
            with safe_open(self._path / name, framework="pt") as file:
                for item in items:
                    _read(file, item, planner)
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def _file_of(self, item: ReadItem) -> str:
        part, name = key_of(item.storage_index.fqn)
        at = item.storage_index.index
        assert at is not None
        return self._index.tensors[part][name].parts[at].file

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        """Say no: where to read is told otherwise."""
        return False


def _read(file: Any, item: ReadItem, planner: LoadPlanner) -> None:
    """Read one block into its place."""
    _, name = key_of(item.storage_index.fqn)
    block = read_block(file, name, item.storage_offsets, item.lengths)
    place = planner.resolve_tensor(item)
    place.copy_(block)
    planner.commit_tensor(item, place)
