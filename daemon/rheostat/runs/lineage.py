"""Which part of a run's past still counts, where it has gone back to a checkpoint."""

from collections.abc import Iterable, Sequence

from rheostat.steering.records import Decision, Verb


def surviving(decisions: Sequence[Decision]) -> list[Decision]:
    """Return the decisions that no rollback has undone, in order.

    A rollback that was itself undone has none to answer for.

    Args:
        decisions: all of a run, or all after some revision, in order.
    """
    kept: list[Decision] = []
    floor: int | None = None
    for decision in reversed(decisions):
        if floor is not None and decision.revision > floor:
            continue
        kept.append(decision)
        if decision.rollback is not None:
            floor = decision.rollback.to_revision
    return kept[::-1]


def planned_steps(decision: Decision) -> int | None:
    """Return the planned length of a run that a decision leaves; None for what it was."""
    if decision.rollback is not None:
        return decision.rollback.steps or None
    if decision.verb == Verb.HORIZON and decision.edit is not None:
        return decision.edit.steps
    return None


def rollbacks(decisions: Iterable[Decision]) -> list[Decision]:
    """Return those decisions that took the run back, in order."""
    return [decision for decision in decisions if decision.rollback is not None]
