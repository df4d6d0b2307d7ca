"""From a checkpoint on the disk to a state."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from safetensors import safe_open
from torch import Tensor

from rheostat.runs.checkpoints import BadCheckpoint, Manifest, read_manifest, verify
from rheostat.runs.messages import Unacknowledged
from rheostat.trainer.checkpoints.files import (
    STATE_FILE,
    UNACKNOWLEDGED_FILE,
    file_of,
    read_block,
    read_tensors,
)
from rheostat.trainer.checkpoints.index import read_index
from rheostat.trainer.checkpoints.state import LOOP, MODEL, OPTIMIZER, State, Tensors
from rheostat.trainer.checkpoints.trees import flatten
from rheostat.trainer.sharding import Place, place_of, with_part

Forms = Callable[[str, str, tuple[int, ...]], Tensor | None]
"""Given what a tensor belongs to, its name and the shape of the whole, returns a tensor that is cut
as this process has it; None where this process has it all."""


def read_state(path: Path, *, spec_sha256: str, forms: Forms | None = None) -> State:
    """Read a checkpoint, every byte of which is checked first.

    Args:
        path: of it.
        spec_sha256: of the run's spec.
        forms: what this process has parts of, and no more of them is read; None where it has all.

    Raises:
        BadCheckpoint: if it is not whole, or of a run with another spec.
    """
    manifest = verify(path)
    if manifest.spec_sha256 != spec_sha256:
        raise BadCheckpoint(f"checkpoint {path} is of a run with another spec")
    missing = [name for name in _files(path, manifest) if name not in manifest.files]
    if missing:
        raise BadCheckpoint(f"checkpoint {path} has no {', '.join(missing)}")
    try:
        return State(
            step=manifest.step,
            revision=manifest.revision,
            validation_loss=manifest.validation_loss,
            tensors={
                **read_model_and_optimizer(path, forms),
                LOOP: read_tensors(path / file_of(LOOP)),
            },
            plain={**_added_since(manifest), **json.loads((path / STATE_FILE).read_text())},
            unacknowledged=msgspec.msgpack.decode(
                (path / UNACKNOWLEDGED_FILE).read_bytes(), type=Unacknowledged
            ),
            path=path,
        )
    except BadCheckpoint:
        raise
    except Exception as error:  # whole, and yet not what it should be
        raise BadCheckpoint(f"checkpoint {path} cannot be understood: {error}") from error


def read_model_and_optimizer(path: Path, forms: Forms | None) -> Tensors:
    """Read the tensors of a checkpoint that was checked before, by whoever wrote them.

    What this process has parts of comes as such, whatever the processes that wrote it had.

    Raises:
        BadCheckpoint: if they cannot be read.
    """
    index = read_index(path, read_manifest(path))
    if index is None:
        return {part: _read_whole(path / file_of(part), part, forms) for part in (MODEL, OPTIMIZER)}
    # Takes a while to import, for what few runs need.
    from rheostat.trainer.checkpoints.together import read_parts

    cut: dict[str, dict[str, Tensor]] = {part: {} for part in index.tensors}
    places: dict[str, dict[str, Place]] = {part: {} for part in index.tensors}
    for part, named in index.tensors.items():
        for name, one in named.items():
            if forms is not None and (form := forms(part, name, one.shape)) is not None:
                cut[part][name], places[part][name] = form, place_of(form)
    found = read_parts(path, index, places)
    return {
        part: {
            name: with_part(cut[part][name], one) if name in cut[part] else one
            for name, one in found.get(part, {}).items()
        }
        for part in (MODEL, OPTIMIZER)
    }


def _read_whole(path: Path, part: str, forms: Forms | None) -> dict[str, Tensor]:
    """Read one file that has all of a part of a state."""
    if forms is None:
        return read_tensors(path)
    found = {}
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 - it is no mapping
            form = forms(part, name, tuple(file.get_slice(name).get_shape()))
            if form is None:
                found[name] = file.get_tensor(name).clone()
                continue
            place = place_of(form)
            found[name] = with_part(
                form, read_block(file, name, place.offsets, place.sizes).clone()
            )
    return found


def _files(path: Path, manifest: Manifest) -> list[str]:
    """Return the names of the files that there must be."""
    always = [file_of(LOOP), STATE_FILE, UNACKNOWLEDGED_FILE]
    index = read_index(path, manifest)
    if index is None:
        return [*map(file_of, (MODEL, OPTIMIZER)), *always]
    return [*always, *sorted(index.files())]


def _added_since(manifest: Manifest) -> dict[str, Any]:
    """Return what a checkpoint of an earlier schema did not keep, as it was in runs of its time."""
    if manifest.schema_version > 1:
        return {}
    return {"loss_scale": {}, "others": flatten([], "others", {})}
