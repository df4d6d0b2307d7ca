"""Files that are on the disk when the call returns, whole or not at all."""

import os
from pathlib import Path


def replace_durably(path: Path, data: bytes) -> None:
    """Put a file in the place of another, or of nothing.

    Raises:
        OSError: if the disk takes it not; the old one is still there then.
    """
    beside = path.with_name(f".{path.name}.partial")
    write_durably(beside, data)
    beside.replace(path)
    sync_folder(path.parent)


def write_durably(path: Path, data: bytes) -> None:
    """Write a file whose name becomes durable with its folder.

    Raises:
        OSError: if the disk takes it not; there may be a part of it then.
    """
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
