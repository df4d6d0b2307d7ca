"""Errors on their way over the link."""

from rheostat.errors import InvalidRequest, RheostatError
from rheostat.runs.messages import Refused
from rheostat.runs.records import FieldViolation


def refusal(command_id: int, error: RheostatError) -> Refused:
    """Return the message that tells the daemon why a command was not carried out."""
    return Refused(
        command_id=command_id,
        kind=type(error).__name__,
        message=str(error),
        violations=violations_of(error),
    )


def violations_of(error: RheostatError) -> tuple[FieldViolation, ...]:
    """Return the violations of an error, none where it has none."""
    if not isinstance(error, InvalidRequest):
        return ()
    return tuple(
        FieldViolation(field=one.field, value=one.value, expected=one.expected)
        for one in error.violations
    )
