"""Every error that Rheostat raises on purpose.

    RheostatError
    ├── InvalidRequest        the caller's mistake, with a violation per field
    │   └── InvalidSpec       the same, for a spec
    ├── NotFound              no such run
    ├── FailedPrecondition    right request, wrong moment: a finished run, a used request_id
    ├── RevisionConflict      somebody changed the run since the caller looked
    ├── ResourceExhausted     a limit is reached: the queue, the pending changes
    ├── DeadlineExceeded      accepted, but not applied in the time the caller gave
    ├── Unauthenticated       nobody whom the daemon knows is asking
    ├── PermissionDenied      somebody is asking who may not do this
    ├── Unreachable           no daemon answers at the address
    └── StorageFailed         the daemon's state file cannot be opened, read or written
        └── BrokenChain       a run's decisions were altered, or do not follow each other

Messages are for the person who made the request: they name the field, the value and the mend.
"""

from collections.abc import Iterable
from dataclasses import dataclass


class RheostatError(Exception):
    """The root of the tree."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing wrong with one field."""

    field: str
    """Path from the top of the request or spec, e.g. `groups[1].lr_scale`."""
    value: str
    """The offending value as the caller wrote it; empty when the field is missing."""
    expected: str
    """What would have been accepted, as a phrase."""

    def __str__(self) -> str:
        """Render as one line: path, value, expectation."""
        given = f" = {self.value}" if self.value else ""
        return f"{self.field}{given}: {self.expected}"


class InvalidRequest(RheostatError):
    """The request can never be satisfied; nothing was changed."""

    def __init__(self, violations: Iterable[Violation]) -> None:
        self.violations = tuple(violations)
        super().__init__("; ".join(str(violation) for violation in self.violations))


class InvalidSpec(InvalidRequest):
    """The spec cannot be run; every mistake is listed."""


class NotFound(RheostatError):
    """The thing named does not exist."""


class FailedPrecondition(RheostatError):
    """The request is well-formed but not possible in the present state."""


class RevisionConflict(RheostatError):
    """The run is at another revision than the caller expected."""


class ResourceExhausted(RheostatError):
    """A limit is reached; the same request may pass later."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        """Seconds after which to ask again; None where nobody can tell."""


class DeadlineExceeded(RheostatError):
    """The request was accepted and still waits to be applied."""


class Unauthenticated(RheostatError):
    """The caller has not proven who it is; why is for the daemon's log."""


class PermissionDenied(RheostatError):
    """The caller is known, and lacks the role that this takes."""


class Unreachable(RheostatError):
    """No daemon answers."""


class StorageFailed(RheostatError):
    """The daemon's state file cannot be opened, read or written; the message names it."""


class BrokenChain(StorageFailed):
    """A run's decisions were altered, or do not follow each other without a gap."""
