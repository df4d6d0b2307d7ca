"""What each operator's verb does to one group."""

from collections.abc import Callable
from dataclasses import dataclass

from rheostat.errors import FailedPrecondition
from rheostat.steering.group import Group
from rheostat.steering.motion import Motion
from rheostat.steering.operator import Hold, Term
from rheostat.steering.records import Change, Verb


@dataclass(frozen=True, slots=True)
class Prepared:
    """A change that is ready to be made to a group, once all its other groups are ready too."""

    apply: Callable[[], None]
    bent: tuple[str, ...] = ()
    """The guardrail that bounds the LR asked for. The bound is what is aimed at, so that later
    changes start from there and not from a number nobody ever saw in the optimizer."""


def prepare(change: Change, group: Group, step: int, revision: int) -> Prepared:
    """Work out what a checked change does to a group at a step.

    Raises:
        FailedPrecondition: if the group's schedule or gain is 0 where a ratio to it is needed.
    """
    operator = group.operator
    lasts = change.expires_after_steps
    expires_at = None if lasts is None else step + lasts
    if change.verb is Verb.RELEASE:
        return Prepared(lambda: operator.release(step))
    assert change.value is not None
    bent: tuple[str, ...] = ()
    if change.verb is Verb.SCALE:
        motion = Motion(change.value, change.value, step, 1)
    else:
        lr, bent = group.guardrails.bound(change.value)
        if change.verb is Verb.HOLD:
            hold = Hold(value=lr, revision=revision, expires_at=expires_at)
            return Prepared(lambda: operator.keep(hold), bent)
        # A set is a ramp of one step.
        steps = change.steps or 1
        start = 1.0 if change.verb is Verb.RAMP else 0.0
        motion = Motion(start, lr / _reachable(group, step + steps - 1, change.verb), step, steps)
    term = Term(verb=change.verb, motion=motion, revision=revision, expires_at=expires_at)
    return Prepared(lambda: operator.add(term, step), bent)


def _reachable(group: Group, step: int, verb: Verb) -> float:
    """Return the LR a group would have at a step with today's gain and no hold."""
    if not group.gain > 0:
        raise FailedPrecondition(
            f"group {group.name} was scaled to 0, and no {verb} can lead away from there: "
            "release it first"
        )
    reachable = group.base_at(step) * group.gain
    if not reachable > 0:
        raise FailedPrecondition(
            f"the schedule gives group {group.name} an LR of {reachable:g} at step {step}, "
            f"which no {verb} can move: use hold, or ask for another step with at_step"
        )
    return reachable
