"""A state as files, and back; nothing in them is executed when they are read."""

import json
import os
import shutil
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from rheostat.runs.checkpoints import (
    MANIFEST_FILE,
    BadCheckpoint,
    CheckpointInfo,
    FileInfo,
    Manifest,
    folder_name,
    info_of,
    measure,
    read_manifest,
    verify,
)
from rheostat.runs.durably import sync_folder, write_durably
from rheostat.runs.messages import Unacknowledged
from rheostat.trainer.checkpoints.state import LOOP, MODEL, OPTIMIZER, State
from rheostat.trainer.checkpoints.trees import flatten

STATE_FILE = "state.json"
UNACKNOWLEDGED_FILE = "unacknowledged.msgpack"
_PARTS = (MODEL, OPTIMIZER, LOOP)
_PARTIAL, _REPLACED = ".partial", ".replaced"


def write_state(
    folder: Path,
    state: State,
    *,
    run: str,
    spec_sha256: str,
    reason: str,
    pinned: bool = False,
    clock: Callable[[], float] = time.time,
) -> CheckpointInfo:
    """Write a checkpoint beside its place, make it durable, and move it there.

    One of the same step that is there already gives way, and if it was pinned, this one is.

    Args:
        folder: of the run's checkpoints; made if it is not there.
        state: one that stays as it is meanwhile.
        run: whose it is.
        spec_sha256: of the run's spec.
        reason: why it is written, see `Manifest`.
        pinned: whether it is kept until somebody removes it.
        clock: seconds since the epoch.

    Raises:
        OSError: if the disk takes it not; nothing is left of it then.
    """
    place = folder / folder_name(state.step)
    beside = place.with_name(f".{place.name}{_PARTIAL}")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir()
        files = _write_files(beside, state)
        manifest = Manifest(
            run=run,
            step=state.step,
            revision=state.revision,
            created_at=clock(),
            reason=reason,
            validation_loss=state.validation_loss,
            pinned=pinned or _is_pinned(place),
            files=files,
            rheostat=version("rheostat"),
            torch=str(torch.__version__),
            spec_sha256=spec_sha256,
        )
        write_durably(beside / MANIFEST_FILE, msgspec.json.encode(manifest))
        sync_folder(beside)
        _put(beside, place)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return info_of(place, manifest)


def read_state(path: Path, *, spec_sha256: str) -> State:
    """Read a checkpoint, every byte of which is checked first.

    Raises:
        BadCheckpoint: if it is not whole, or of a run with another spec.
    """
    manifest = verify(path)
    if manifest.spec_sha256 != spec_sha256:
        raise BadCheckpoint(f"checkpoint {path} is of a run with another spec")
    missing = [name for name in _names() if name not in manifest.files]
    if missing:
        raise BadCheckpoint(f"checkpoint {path} has no {', '.join(missing)}")
    try:
        return State(
            step=manifest.step,
            revision=manifest.revision,
            validation_loss=manifest.validation_loss,
            tensors={part: _load(path / _file_of(part)) for part in _PARTS},
            plain={**_added_since(manifest), **json.loads((path / STATE_FILE).read_text())},
            unacknowledged=msgspec.msgpack.decode(
                (path / UNACKNOWLEDGED_FILE).read_bytes(), type=Unacknowledged
            ),
        )
    except Exception as error:  # whole, and yet not what it should be
        raise BadCheckpoint(f"checkpoint {path} cannot be understood: {error}") from error


def _added_since(manifest: Manifest) -> dict[str, Any]:
    """Return what a checkpoint of an earlier schema did not keep, as it was in runs of its time."""
    if manifest.schema_version > 1:
        return {}
    return {"loss_scale": {}, "others": flatten([], "others", {})}


def sweep(folder: Path) -> None:
    """Remove what an interrupted writer has left in a folder of checkpoints.

    One that was to be replaced, and has not been, comes back.
    """
    if not folder.is_dir():
        return
    for path in list(folder.iterdir()):
        place = path.with_name(path.name.removeprefix(".").removesuffix(_REPLACED))
        if path.name.endswith(_REPLACED) and not place.exists():
            path.rename(place)
        elif path.name.startswith("."):
            shutil.rmtree(path, ignore_errors=True)


def _write_files(folder: Path, state: State) -> dict[str, FileInfo]:
    for part in _PARTS:
        path = folder / _file_of(part)
        save_file(dict(state.tensors[part]), path)
        with path.open("rb") as file:
            os.fsync(file.fileno())
    write_durably(folder / STATE_FILE, json.dumps(state.plain).encode())
    write_durably(folder / UNACKNOWLEDGED_FILE, msgspec.msgpack.encode(state.unacknowledged))
    return {name: measure(folder / name) for name in _names()}


def _load(path: Path) -> dict[str, Tensor]:
    """Read tensors into memory of torch's own.

    A file's are aligned as it happens, and a sum of products adds up in an order that depends on
    the alignment: it would differ in its last bits.
    """
    return {name: tensor.clone() for name, tensor in load_file(path).items()}


def _put(beside: Path, place: Path) -> None:
    """Move a finished checkpoint to its place."""
    old = place.with_name(f".{place.name}{_REPLACED}")
    if place.exists():
        shutil.rmtree(old, ignore_errors=True)
        place.rename(old)
    beside.rename(place)
    sync_folder(place.parent)
    shutil.rmtree(old, ignore_errors=True)


def _is_pinned(place: Path) -> bool:
    try:
        return read_manifest(place).pinned
    except BadCheckpoint:
        return False


def _names() -> list[str]:
    return [*map(_file_of, _PARTS), STATE_FILE, UNACKNOWLEDGED_FILE]


def _file_of(part: str) -> str:
    return f"{part}.safetensors"
