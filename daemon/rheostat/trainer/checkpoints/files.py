"""The files of a checkpoint; nothing in them is executed when they are read."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from safetensors.torch import load_file, save_file
from torch import Tensor

from rheostat.runs.checkpoints import FileInfo, measure
from rheostat.runs.durably import write_durably
from rheostat.trainer.checkpoints.state import LOOP, State

STATE_FILE = "state.json"
UNACKNOWLEDGED_FILE = "unacknowledged.msgpack"


def file_of(part: str) -> str:
    """Return the name of the file that has all tensors of a part of a state."""
    return f"{part}.safetensors"


def file_of_rank(part: str, rank: int, world_size: int) -> str:
    """Return the name of the file that has what one of several processes has of them."""
    return f"{part}-shard-{rank + 1:05d}-of-{world_size:05d}.safetensors"


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> FileInfo:
    """Write tensors by name, and return what is on the disk.

    Raises:
        OSError: if the disk does not take them.
    """
    save_file(dict(tensors), path)
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return measure(path)


def write_rest(folder: Path, state: State) -> dict[str, FileInfo]:
    """Write what is not of the model or the optimizer, and return the files by name.

    Raises:
        OSError: if the disk does not take it.
    """
    files = {file_of(LOOP): write_tensors(folder / file_of(LOOP), state.tensors[LOOP])}
    for name, data in (
        (STATE_FILE, json.dumps(state.plain).encode()),
        (UNACKNOWLEDGED_FILE, msgspec.msgpack.encode(state.unacknowledged)),
    ):
        write_durably(folder / name, data)
        files[name] = measure(folder / name)
    return files


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read tensors into memory of torch's own.

    A file's are aligned as it happens, and a sum of products adds up in an order that depends on
    the alignment: it would differ in its last bits.
    """
    return {name: tensor.clone() for name, tensor in load_file(path).items()}


def read_block(file: Any, name: str, offsets: Sequence[int], sizes: Sequence[int]) -> Tensor:
    """Return a block of a tensor in a file that `safe_open` has opened, whose memory it may be."""
    if not sizes:
        whole: Tensor = file.get_tensor(name)
        return whole
    slices = tuple(slice(at, at + size) for at, size in zip(offsets, sizes, strict=True))
    block: Tensor = file.get_slice(name)[slices]
    return block
