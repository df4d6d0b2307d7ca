"""What a trainer leaves in its run's folder when no daemon is there to be told.

A letter is a file of frames, as they would have gone over the link. The next daemon reads it as if
it had just heard it, and what it knows already does no harm. It is written beside its place, on the
disk, and then moved there, so that there is a whole one or none.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from rheostat.runs.frames import BrokenFrame, encode, to_daemon
from rheostat.runs.messages import Message, ToDaemon

LETTER_FILE = "letter"


def leave(folder: Path, messages: Sequence[Message]) -> None:
    """Write a letter, in the place of the one before."""
    beside = folder / f"{LETTER_FILE}.partial"
    with beside.open("wb") as file:
        for message in messages:
            file.write(encode(message))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(folder / LETTER_FILE)
    sync_folder(folder)


def read(folder: Path) -> list[ToDaemon]:
    """Return what a letter says; nothing where there is none, or none that can be read."""
    try:
        return to_daemon().feed((folder / LETTER_FILE).read_bytes())
    except (OSError, BrokenFrame):
        return []


def burn(folder: Path) -> None:
    """Remove the letter, if there is one."""
    (folder / LETTER_FILE).unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk, where the system can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
