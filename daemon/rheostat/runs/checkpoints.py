"""Checkpoints on the disk: what a folder must hold to be one, and which there are.

A checkpoint is a folder `step-000001200` with its files and a manifest that names each with its
size and SHA-256. It is written beside its place and renamed when every byte is on the disk, so a
folder of that name is whole or was damaged later; the manifest tells which.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from rheostat.errors import CheckpointDamaged

SCHEMA_VERSION = 1
"""Of everything in a checkpoint's folder; counts up with every change that old code cannot read."""
CHECKPOINTS_FOLDER = "checkpoints"
MANIFEST = "manifest.json"
_NAME = re.compile(r"step-(\d{9,})")
_CHUNK = 2**20


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a checkpoint."""

    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint is, and how to tell that it is whole."""

    schema_version: int
    run: str
    step: int
    """Number of finished steps, and so the index of the next."""
    revision: int
    """Revision of the newest decision it contains."""
    created_at: float
    """Seconds since the epoch."""
    train_loss: float | None = None
    validation_loss: float | None = None
    """The newest before it; None before the first validation."""
    pinned: bool = False
    """Whether it is kept whatever happens."""
    versions: Mapping[str, str] = {}
    """Of Rheostat, torch and Python that wrote it."""
    files: Mapping[str, FileEntry] = {}
    """By name."""


def folder_name(step: int) -> str:
    """Return the name of a checkpoint's folder."""
    return f"step-{step:09d}"


def list_checkpoints(folder: Path) -> list[tuple[Path, Manifest]]:
    """Return the checkpoints in a folder, oldest first; those without a readable manifest not."""
    return sorted(_readable(folder), key=lambda found: found[1].step)


def read_manifest(checkpoint: Path) -> Manifest:
    """Return a checkpoint's manifest.

    Raises:
        CheckpointDamaged: if it cannot be read, or was written by a later version.
    """
    path = checkpoint / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CheckpointDamaged(f"{path} cannot be read: {error}") from error
    if manifest.schema_version > SCHEMA_VERSION:
        raise CheckpointDamaged(
            f"{path} has schema version {manifest.schema_version}; this Rheostat reads up to "
            f"{SCHEMA_VERSION}: use the one that wrote it ({manifest.versions.get('rheostat')})"
        )
    return manifest


def verify(checkpoint: Path) -> Manifest:
    """Return a checkpoint's manifest once every byte it names is found to be right.

    Raises:
        CheckpointDamaged: naming the file and what is wrong with it.
    """
    manifest = read_manifest(checkpoint)
    for name, entry in manifest.files.items():
        path = checkpoint / name
        try:
            size, digest = path.stat().st_size, digest_of(path)
        except OSError as error:
            raise CheckpointDamaged(f"{path} cannot be read: {error}") from error
        if size != entry.bytes:
            raise CheckpointDamaged(f"{path} has {size} bytes, and its manifest says {entry.bytes}")
        if digest != entry.sha256:
            raise CheckpointDamaged(f"{path} was altered: its SHA-256 is not the manifest's")
    return manifest


def newest_good(folder: Path, at_most: int | None = None) -> tuple[Path, Manifest] | None:
    """Return the newest checkpoint that is whole, None where there is none.

    Args:
        folder: of the run's checkpoints.
        at_most: the latest step that it may be of; None is any.
    """
    for path, manifest in reversed(list_checkpoints(folder)):
        if at_most is not None and manifest.step > at_most:
            continue
        try:
            return path, verify(path)
        except CheckpointDamaged:
            continue
    return None


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sync(path: Path) -> None:
    """Return once a file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _readable(folder: Path) -> Iterator[tuple[Path, Manifest]]:
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if _NAME.fullmatch(path.name):
            try:
                yield path, read_manifest(path)
            except CheckpointDamaged:
                continue
