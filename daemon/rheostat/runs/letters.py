"""What a trainer leaves in its run's folder when no daemon is there to be told.

A letter is a file of frames, as they would have gone over the link. The next daemon reads it as if
it had just heard it, and what it knows already does no harm.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rheostat.runs.durably import replace_durably
from rheostat.runs.frames import BrokenFrame, encode, to_daemon
from rheostat.runs.messages import Message, ToDaemon

LETTER_FILE = "letter"


def leave(folder: Path, messages: Sequence[Message]) -> None:
    """Write a letter, in the place of the one before."""
    replace_durably(folder / LETTER_FILE, b"".join(map(encode, messages)))


def read(folder: Path) -> list[ToDaemon]:
    """Return what a letter says; nothing where there is none, or none that can be read."""
    try:
        return to_daemon().feed((folder / LETTER_FILE).read_bytes())
    except (OSError, BrokenFrame):
        return []


def burn(folder: Path) -> None:
    """Remove the letter, if there is one."""
    (folder / LETTER_FILE).unlink(missing_ok=True)


def set_aside(folder: Path) -> None:
    """Keep a letter, if there is one, where nobody reads it any more."""
    with suppress(FileNotFoundError):
        (folder / LETTER_FILE).replace(folder / f"{LETTER_FILE}.refused")
