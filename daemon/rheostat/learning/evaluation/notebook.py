"""Results on disk, a line each, so that an evaluation that was interrupted goes on where it was."""

from pathlib import Path

import msgspec

from rheostat.learning.evaluation.trial import Outcome


class _Line(msgspec.Struct):
    key: str
    outcome: Outcome


class Notebook:
    """Outcomes by the fingerprint of their run.

    Args:
        file: JSON lines; made if it is not there.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[str, Outcome] = {}
        if file.exists():
            lines = file.read_bytes().split(b"\n")
            # What follows the last line break was being written when the power went.
            read = [msgspec.json.decode(line, type=_Line) for line in lines[:-1]]
            self._known = {line.key: line.outcome for line in read}
            file.write_bytes(b"".join(line + b"\n" for line in lines[:-1]))

    def find(self, key: str) -> Outcome | None:
        """Return the outcome of a run, None if it has not been made."""
        return self._known.get(key)

    def note(self, key: str, outcome: Outcome) -> None:
        """Keep an outcome."""
        self._known[key] = outcome
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("ab") as file:
            file.write(msgspec.json.encode(_Line(key, outcome)) + b"\n")
