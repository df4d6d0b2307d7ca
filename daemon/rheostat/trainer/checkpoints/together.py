"""A checkpoint of which each process writes its own part, and reads what is to be its own."""

import warnings
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from rheostat.runs.checkpoints import BadCheckpoint, CheckpointInfo
from rheostat.trainer.checkpoints.drafts import Draft
from rheostat.trainer.checkpoints.index import Index
from rheostat.trainer.checkpoints.planners import (
    PartsLoadPlanner,
    PartsSavePlanner,
    named,
)
from rheostat.trainer.checkpoints.state import MODEL, OPTIMIZER, Places, State, Tensors
from rheostat.trainer.checkpoints.storage import Finish, FirstPartWriter, PartReader, PartWriter
from rheostat.trainer.sharding import Place


def write_first_part(
    draft: Draft, state: State, group: dist.ProcessGroup, finish: Finish
) -> CheckpointInfo:
    """Write what the first process has, see that all have written, and finish the checkpoint.

    Args:
        draft: where to; whoever calls removes it if this fails.
        state: what this process has.
        group: those that write, of whom the others do `write_other_part`.
        finish: makes a checkpoint of the files.

    Raises:
        OSError: if some process could not write; says which, and why.
    """
    writer = FirstPartWriter(draft, group.size(), state, finish)
    _write(writer, state, group)
    assert writer.info is not None
    return writer.info


def write_other_part(folder: Path, state: State, group: dist.ProcessGroup) -> None:
    """Write what another process than the first has; return when there is a checkpoint.

    Args:
        folder: of the run's checkpoints.
        state: what this process has of model and optimizer.
        group: those that write.

    Raises:
        OSError: if some process could not write.
    """
    writer = PartWriter(Draft(folder, state.step), group.rank(), group.size())
    _write(writer, state, group)


def _write(writer: PartWriter, state: State, group: dist.ProcessGroup) -> None:
    tensors = {part: state.tensors[part] for part in (MODEL, OPTIMIZER)}
    planner = PartsSavePlanner(state.places)
    try:
        save(named(tensors), storage_writer=writer, planner=planner, process_group=group)
    except CheckpointException as error:  # which is no Exception
        raise OSError(_told(error)) from None


def read_parts(path: Path, index: Index, places: Places) -> Tensors:
    """Read what this process is to have of a checkpoint that several processes have written.

    Every process reads by itself, as many as there may be.

    Args:
        path: of the checkpoint.
        index: of it.
        places: of the tensors that this process is to have a part of; it gets all of the others.

    Raises:
        BadCheckpoint: if they cannot be read.
    """
    tensors: dict[str, dict[str, Tensor]] = {
        part: {
            name: torch.empty(_sizes(places, part, name, one.shape), dtype=one.torch_dtype())
            for name, one in some.items()
        }
        for part, some in index.tensors.items()
    }
    try:
        with warnings.catch_warnings():
            # That the others are not asked is what is meant.
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")
            load(
                named(tensors),
                storage_reader=PartReader(path, index),
                planner=PartsLoadPlanner(places),
                no_dist=True,
            )
    except CheckpointException as error:  # which is no Exception
        raise BadCheckpoint(f"checkpoint {path} cannot be read: {_told(error)}") from None
    return tensors


def _sizes(places: Places, part: str, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    place: Place | None = places.get(part, {}).get(name)
    return shape if place is None else place.sizes


def _told(error: CheckpointException) -> str:
    """Return what failed, and on which ranks."""
    return "; ".join(
        f"rank {rank}: {what or type(what).__name__}"
        for rank, (what, _) in sorted(error.failures.items())
    )
