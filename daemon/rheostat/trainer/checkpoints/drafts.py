"""A checkpoint while it is written: beside its place, and moved there as a whole."""

import shutil
from pathlib import Path

import msgspec

from rheostat.runs.checkpoints import (
    MANIFEST_FILE,
    BadCheckpoint,
    CheckpointInfo,
    Manifest,
    folder_name,
    info_of,
    read_manifest,
)
from rheostat.runs.durably import sync_folder, write_durably

_PARTIAL, _REPLACED = ".partial", ".replaced"


class Draft:
    """A folder whose name nobody takes for a checkpoint's, until it is one.

    Args:
        folder: of the run's checkpoints.
        step: number of finished steps.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self.place = folder / folder_name(step)
        """Where it goes."""
        self.path = self.place.with_name(f".{self.place.name}{_PARTIAL}")
        """Where it is written."""

    @property
    def was_pinned(self) -> bool:
        """Whether there is one in its place that is kept until somebody removes it."""
        try:
            return read_manifest(self.place).pinned
        except BadCheckpoint:
            return False

    def begin(self) -> None:
        """Make the folder, and the one it is in if that is not there.

        Raises:
            OSError: if the disk does not take it.
        """
        self.place.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir()

    def finish(self, manifest: Manifest) -> CheckpointInfo:
        """Add the manifest to files that are on the disk, and move all to its place.

        One that is there already gives way.

        Raises:
            OSError: if the disk does not take it.
        """
        write_durably(self.path / MANIFEST_FILE, msgspec.json.encode(manifest))
        sync_folder(self.path)
        old = self.place.with_name(f".{self.place.name}{_REPLACED}")
        if self.place.exists():
            shutil.rmtree(old, ignore_errors=True)
            self.place.rename(old)
        self.path.rename(self.place)
        sync_folder(self.place.parent)
        shutil.rmtree(old, ignore_errors=True)
        return info_of(self.place, manifest)

    def drop(self) -> None:
        """Remove what there is of it."""
        shutil.rmtree(self.path, ignore_errors=True)


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
