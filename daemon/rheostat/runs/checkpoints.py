"""The checkpoints of a run on the disk: which there are, which are whole, which may go.

A checkpoint is a folder, `step-<12 digits>`, with a manifest that names its files, their sizes and
checksums. It is written under another name and moved to its own when all of it is on the disk, so
whatever has such a name was whole once. Nothing here needs torch, and reading never executes
anything that stands in a file.
"""

import hashlib
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from rheostat.errors import StorageFailed
from rheostat.runs.durably import replace_durably, sync_folder

SCHEMA_VERSION = 3
"""Of everything in a checkpoint; counts up with every change to what is in one."""
READABLE_VERSIONS = frozenset({1, 2, 3})
"""Those that can be gone on from; others are refused by name."""
MANIFEST_FILE = "manifest.json"
PREFIX = "step-"
ASIDE_PREFIX = "undone-"
"""Of the folder, beside the others, of the checkpoints that a rollback has undone."""
_CHUNK = 2**20


class FileInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a checkpoint."""

    bytes: int
    sha256: str
    """In hex."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint says of itself."""

    schema_version: int = SCHEMA_VERSION
    run: str
    step: int
    """Number of finished steps, and so the index of the next."""
    revision: int
    """Of the newest decision in it."""
    created_at: float
    """Seconds since the epoch."""
    reason: str
    """`every`, `asked`, `best`, `pause`, `stop`, `rollback` to what was in memory, or `fork` of
    another run's."""
    validation_loss: float | None = None
    """Measured after this very step; None where it was not."""
    pinned: bool = False
    """Whether it is kept until somebody removes it."""
    files: dict[str, FileInfo] = {}
    rheostat: str = ""
    """Version that wrote it."""
    torch: str = ""
    """Version that wrote it."""
    spec_sha256: str = ""
    """Of the run's spec as JSON, defaults filled in; in hex."""


class CheckpointInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint as it is listed; the fields of its `Manifest` mean the same."""

    step: int
    revision: int
    created_at: float
    reason: str
    validation_loss: float | None = None
    pinned: bool = False
    bytes: int
    """Of all its files; of its tensors, where it is in memory."""
    path: str
    """Its folder; empty where it is in memory."""
    undone_by: int | None = None
    """Revision of the rollback that has undone what it holds; None where none has."""
    in_memory: bool = False
    """Whether it is a snapshot that the trainer keeps, and loses when it ends."""


def eligible(
    found: Iterable[CheckpointInfo], until: int | None, *, else_oldest: bool = False
) -> list[CheckpointInfo]:
    """Return those that a run may go back to, the one to be tried first at the beginning.

    What a fork begins with is none: it is its parent's, and steering may be another. Of the same
    step, one on the disk comes before one in memory.

    Args:
        found: those there are.
        until: of at most so many finished steps; None is any.
        else_oldest: whether later ones will do where there is none such, the oldest first.
    """
    own = sorted(
        (one for one in found if one.reason != "fork"),
        key=lambda one: (one.step, not one.in_memory),
    )
    early = [one for one in own if until is None or one.step <= until]
    late = own[len(early) :] if else_oldest else []
    return [*reversed(early), *late]


class BadCheckpoint(StorageFailed):
    """A checkpoint is not whole, not ours, or of another version; the message names it."""


def folder_name(step: int) -> str:
    """Return the name of the folder of a checkpoint after some steps."""
    return f"{PREFIX}{step:012d}"


def list_checkpoints(folder: Path) -> list[CheckpointInfo]:
    """Return the checkpoints in a folder, oldest first; those without a readable manifest not.

    Their files are not looked at, which `verify` does. Those that are undone are elsewhere.
    """
    found = []
    for path in _folders(folder):
        try:
            found.append(info_of(path, read_manifest(path)))
        except BadCheckpoint:
            continue
    return found


def list_undone(folder: Path) -> list[CheckpointInfo]:
    """Return the checkpoints that rollbacks have undone, the oldest rollback first."""
    found = []
    for aside in _asides(folder):
        revision = int(aside.name.removeprefix(ASIDE_PREFIX))
        found += [
            msgspec.structs.replace(one, undone_by=revision) for one in list_checkpoints(aside)
        ]
    return found


def set_aside(folder: Path, step: int, revision: int) -> list[CheckpointInfo]:
    """Move the checkpoints away that a rollback has undone, and return them; again does no harm.

    Args:
        folder: of the run's checkpoints.
        step: number of finished steps that the run went back to.
        revision: of the rollback; those that contain it are not undone.
    """
    undone = [
        one for one in list_checkpoints(folder) if one.step > step and one.revision < revision
    ]
    aside = aside_of(folder, revision)
    for one in undone:
        aside.mkdir(exist_ok=True)
        path = Path(one.path)
        path.rename(aside / path.name)
    if undone:
        sync_folder(aside)
        sync_folder(folder)
    return undone


def aside_of(folder: Path, revision: int) -> Path:
    """Return the folder of the checkpoints that a rollback has undone.

    Args:
        folder: of the run's checkpoints.
        revision: of the rollback.
    """
    return folder / f"{ASIDE_PREFIX}{revision:012d}"


def newest_good(
    folder: Path, *, until: int | None = None
) -> tuple[CheckpointInfo | None, list[str]]:
    """Return the newest checkpoint that is whole, and a sentence for each newer that is not.

    With `until`, those of more finished steps are not looked at.
    """
    refused: list[str] = []
    for path in reversed(list(_folders(folder))):
        if until is not None and path.name > folder_name(until):
            continue
        try:
            return info_of(path, verify(path)), refused
        except BadCheckpoint as error:
            refused.append(str(error))
    return None, refused


def verify(path: Path) -> Manifest:
    """Read every file of a checkpoint and return its manifest.

    Raises:
        BadCheckpoint: if a file is missing, has another size or other contents than it had.
    """
    manifest = read_manifest(path)
    for name, known in manifest.files.items():
        if Path(name).name != name:
            raise BadCheckpoint(f"checkpoint {path}: {name!r} is no name of a file in it")
        try:
            found = measure(path / name)
        except OSError as error:
            raise BadCheckpoint(f"checkpoint {path}: {name} cannot be read: {error}") from error
        if found.bytes != known.bytes:
            raise BadCheckpoint(
                f"checkpoint {path}: {name} has {found.bytes} bytes, not the {known.bytes} it was "
                "written with"
            )
        if found.sha256 != known.sha256:
            raise BadCheckpoint(
                f"checkpoint {path}: {name} is damaged: its SHA-256 is {found.sha256}, not "
                f"{known.sha256}"
            )
    return manifest


def read_manifest(path: Path) -> Manifest:
    """Return what a checkpoint says of itself.

    Raises:
        BadCheckpoint: if it cannot be read, or is of a version that this program does not know.
    """
    file = path / MANIFEST_FILE
    try:
        text = file.read_bytes()
        version = msgspec.json.decode(text, type=_Version).schema_version
        if version not in READABLE_VERSIONS:
            known = " and ".join(map(str, sorted(READABLE_VERSIONS)))
            raise BadCheckpoint(
                f"checkpoint {path} was written with schema version {version}, and this Rheostat "
                f"reads {known}: go on with the Rheostat that wrote it"
            )
        return msgspec.json.decode(text, type=Manifest)
    except OSError as error:
        raise BadCheckpoint(
            f"checkpoint {path}: {MANIFEST_FILE} cannot be read: {error}"
        ) from error
    except msgspec.DecodeError as error:
        raise BadCheckpoint(f"checkpoint {path}: {MANIFEST_FILE} is damaged: {error}") from error


def pin(path: Path, *, pinned: bool = True) -> CheckpointInfo:
    """Keep a checkpoint until somebody removes it, or let it go the way of the others.

    Raises:
        BadCheckpoint, OSError: if its manifest cannot be read or written.
    """
    manifest = msgspec.structs.replace(read_manifest(path), pinned=pinned)
    replace_durably(path / MANIFEST_FILE, msgspec.json.encode(manifest))
    return info_of(path, manifest)


def adopt(path: Path, folder: Path, *, run: str, spec: str) -> CheckpointInfo:
    """Give a run the checkpoint of another one to begin with, pinned; their files are the same.

    Args:
        path: the checkpoint, whose files are linked where the disk allows it, else copied.
        folder: where the run's checkpoints are.
        run: its name.
        spec: its spec as JSON, defaults filled in.

    Raises:
        BadCheckpoint, OSError: if it cannot be read or written.
    """
    manifest = verify(path)
    partial = folder / f".{path.name}.adopted"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name in manifest.files:
        try:
            (partial / name).hardlink_to(path / name)
        except OSError:
            shutil.copyfile(path / name, partial / name)
    digest = hashlib.sha256(spec.encode()).hexdigest()
    manifest = msgspec.structs.replace(
        manifest, run=run, reason="fork", pinned=True, spec_sha256=digest
    )
    replace_durably(partial / MANIFEST_FILE, msgspec.json.encode(manifest))
    partial.rename(folder / path.name)
    return info_of(folder / path.name, manifest)


def prune(
    folder: Path, *, keep: int, keep_best: int, written: int | None = None
) -> list[CheckpointInfo]:
    """Remove the checkpoints that need not be kept, and return them.

    Kept are the newest, those of the lowest validation loss, and the pinned. Of those that are
    undone, the newest of the newest rollback are kept, and the pinned.

    Args:
        folder: where they are.
        written: step of the one that has just been written, which stays; there may be damaged ones
            of later steps, from which the run has gone back.
        keep: number of newest, at least 1.
        keep_best: number of best, among those whose loss was measured.
    """
    loose = [one for one in list_checkpoints(folder) if not one.pinned]
    measured = [one for one in loose if one.validation_loss is not None]
    best = sorted(measured, key=lambda one: (one.validation_loss, -one.step))[:keep_best]
    kept = {written, *(one.step for one in (*loose[-keep:], *best))}
    removed = [one for one in loose if one.step not in kept]
    undone = list_undone(folder)
    fresh = {one.path for one in undone[-keep:] if one.undone_by == undone[-1].undone_by}
    removed += [one for one in undone if not one.pinned and one.path not in fresh]
    for one in removed:
        remove(Path(one.path))
    return removed


def remove(path: Path) -> None:
    """Remove a checkpoint: first its name, so that nobody takes half of it for a whole one."""
    doomed = path.with_name(f".{path.name}.removed")
    shutil.rmtree(doomed, ignore_errors=True)
    path.rename(doomed)
    shutil.rmtree(doomed)


def info_of(path: Path, manifest: Manifest) -> CheckpointInfo:
    """Return how a checkpoint is listed."""
    return CheckpointInfo(
        step=manifest.step,
        revision=manifest.revision,
        created_at=manifest.created_at,
        reason=manifest.reason,
        validation_loss=manifest.validation_loss,
        pinned=manifest.pinned,
        bytes=sum(file.bytes for file in manifest.files.values()),
        path=str(path),
    )


def measure(path: Path) -> FileInfo:
    """Return size and checksum of a file.

    Raises:
        OSError: if it cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return FileInfo(bytes=size, sha256=digest.hexdigest())


class _Version(msgspec.Struct):
    schema_version: int


def _asides(folder: Path) -> Iterator[Path]:
    """Yield the folders of undone checkpoints, the oldest rollback first."""
    if folder.is_dir():
        yield from sorted(one for one in folder.iterdir() if one.name.startswith(ASIDE_PREFIX))


def _folders(folder: Path) -> Iterator[Path]:
    """Yield what is named like a checkpoint, oldest first."""
    if folder.is_dir():
        yield from sorted(path for path in folder.iterdir() if path.name.startswith(PREFIX))
