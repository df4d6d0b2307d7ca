"""From a captured state to a checkpoint on the disk, in a thread of its own."""

import json
import platform
import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors.torch import save_file

from rheostat.runs.checkpoints import (
    MANIFEST,
    SCHEMA_VERSION,
    FileEntry,
    Manifest,
    digest_of,
    folder_name,
    sync,
)
from rheostat.trainer.checkpoints.retention import superfluous
from rheostat.trainer.checkpoints.tree import Tensors

TENSORS_FILE = "state.safetensors"
STATE_FILE = "state.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """A run at one step boundary, on the host, ready to be written."""

    manifest: Manifest
    """Without its files."""
    tensors: Tensors
    plain: Any


class Writer:
    """Writes checkpoints one after the other while the loop goes on.

    Args:
        folder: of the run's checkpoints.
        keep: how many of the newest are kept; the best and those that are pinned stay besides.
        tell: hears of each that is on the disk, and of each that could not be written; called in
            the writer's thread.
    """

    def __init__(
        self, folder: Path, keep: int, tell: Callable[[Manifest | Exception], None]
    ) -> None:
        self._folder = folder
        self._keep = keep
        self._tell = tell
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._newest: Future[None] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a checkpoint is being written."""
        return self._newest is not None and not self._newest.done()

    def write(self, captured: Captured) -> None:
        """Write a checkpoint as soon as the one before it is written."""
        self._newest = self._thread.submit(self._write, captured)

    def finish(self) -> None:
        """Wait until everything is on the disk."""
        self._thread.shutdown(wait=True)

    def _write(self, captured: Captured) -> None:
        try:
            manifest = write_checkpoint(self._folder, captured)
        except Exception as error:  # a full disk: the run goes on, and somebody is told
            self._tell(error)
            return
        for path in superfluous(self._folder, self._keep):
            shutil.rmtree(path, ignore_errors=True)
        self._tell(manifest)


def write_checkpoint(folder: Path, captured: Captured) -> Manifest:
    """Write one checkpoint whole: beside its place first, then there in one move.

    Raises:
        OSError: if the disk does not take it; nothing is left of it then.
    """
    place = folder / folder_name(captured.manifest.step)
    beside = folder / f".{place.name}.partial"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        save_file(captured.tensors, str(beside / TENSORS_FILE))
        (beside / STATE_FILE).write_text(json.dumps(captured.plain))
        files = {name: _entry(beside / name) for name in (TENSORS_FILE, STATE_FILE)}
        manifest = msgspec.structs.replace(
            captured.manifest,
            schema_version=SCHEMA_VERSION,
            created_at=time.time(),
            versions=_versions(),
            files=files,
        )
        (beside / MANIFEST).write_bytes(msgspec.json.encode(manifest))
        sync(beside / MANIFEST)
        sync(beside)
        # The same step again (after a rollback) takes the place of the old one.
        shutil.rmtree(place, ignore_errors=True)
        beside.rename(place)
        sync(folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return manifest


def _entry(path: Path) -> FileEntry:
    sync(path)
    return FileEntry(bytes=path.stat().st_size, sha256=digest_of(path))


def _versions() -> dict[str, str]:
    return {
        "rheostat": version("rheostat"),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
