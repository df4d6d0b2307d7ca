"""What a fork has from its own spec, and what from the checkpoint it begins with."""

from collections.abc import Iterable, Iterator

from rheostat.errors import InvalidRequest, Violation
from rheostat.runs.records import GENERATORS, OPTIONS, STEERING
from rheostat.spec.models import Spec

SPEC, CHECKPOINT = "spec", "checkpoint"
"""What may take precedence, in what a fork knows of LRs, over the other."""
_STEERING = ("optimizer", "groups", "schedule", "policies", "guardrails")


def anew_of(differences: Iterable[str], precedence: str) -> tuple[str, ...]:
    """Return what a fork has from its own spec, not from the checkpoint.

    Args:
        differences: what the checkpoint cannot say of a run with that spec.
        precedence: `SPEC`, `CHECKPOINT`, or empty for the spec's where they differ.

    Raises:
        InvalidRequest: if the checkpoint is to take precedence and cannot, or for another word.
    """
    anew = tuple(differences)
    if precedence not in ("", SPEC, CHECKPOINT):
        expected = f"{SPEC}, {CHECKPOINT}, or nothing"
        raise InvalidRequest([Violation("precedence", precedence, expected)])
    if precedence == SPEC and STEERING not in anew:
        return (STEERING, *anew)
    if precedence == CHECKPOINT and STEERING in anew:
        expected = (
            f"{SPEC}, or a spec with the same length, optimizer, groups, schedule, policies and "
            "guardrails: what the checkpoint knows of LRs fits no others"
        )
        raise InvalidRequest([Violation("precedence", precedence, expected)])
    return anew


def differences(before: Spec, after: Spec) -> Iterator[str]:
    """Yield what the checkpoint of a run cannot say of one with another spec."""
    lengths = [(one.train.steps, one.train.epochs, one.data.batch_size) for one in (before, after)]
    changed = {name for name in _STEERING if getattr(before, name) != getattr(after, name)}
    if changed or lengths[0] != lengths[1]:
        yield STEERING
    if changed & {"optimizer", "groups"}:
        yield OPTIONS
    if before.train.seed != after.train.seed:
        yield GENERATORS
