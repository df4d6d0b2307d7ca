"""What steers a script, on the disk, for the script that comes back after this one has ended."""

import math
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from rheostat.errors import RheostatError
from rheostat.steering.memory import SteeringMemory
from rheostat.steering.records import Decision
from rheostat.steering.remembering import recall, remember
from rheostat.steering.script import OPERATOR, ROLLBACK
from rheostat.steering.steering import Steering

MEMORY_FILE = "steering.msgpack"
"""In the run's folder: a `SteeringMemory`."""
LEAST_SECONDS = 1.0
WISHED_SECONDS = 0.1
"""The same where an operator has changed something."""
_PEOPLE = (OPERATOR, ROLLBACK)


class Memory:
    """Keeps overrides, factors and the state of policies.

    Written when an operator has changed something, ten times a second at most, and once a second
    while policies do. It is there for convenience: a file that a crash has spoilt means that
    steering begins anew.

    Args:
        folder: of the run.
        steering: of the run, looked at between two steps.
    """

    def __init__(self, folder: Path, steering: Steering) -> None:
        self._file = folder / MEMORY_FILE
        self._steering = steering
        self._written_at = time.monotonic()
        self._due_at = math.inf

    def note(self, decisions: Sequence[Decision]) -> None:
        """Take note that something was decided."""
        is_wished = any(one.source in _PEOPLE for one in decisions)
        due_at = self._written_at + (WISHED_SECONDS if is_wished else LEAST_SECONDS)
        self._due_at = min(self._due_at, due_at)

    def keep_if_due(self) -> None:
        """Write it down, if that is due."""
        if time.monotonic() >= self._due_at:
            self.keep()

    def keep(self) -> None:
        """Write it down."""
        self._written_at, self._due_at = time.monotonic(), math.inf
        partial = self._file.with_suffix(".partial")
        # A disk that is full, or a policy whose state is no JSON, does not stop a script.
        with suppress(OSError, RheostatError):
            partial.write_bytes(msgspec.msgpack.encode(remember(self._steering)))
            partial.replace(self._file)

    def recall(self) -> str:
        """Bring steering to where the script before had it.

        Returns:
            Why that could not be done; empty where it was, or there was none before.
        """
        try:
            kept = msgspec.msgpack.decode(self._file.read_bytes(), type=SteeringMemory)
            recall(self._steering, kept)
        except FileNotFoundError:
            return ""
        except KeyError as error:
            return f"policy {error} is not attached any more"
        except (OSError, msgspec.DecodeError, msgspec.ValidationError, RheostatError) as error:
            return str(error)
        return ""
