"""What each of an operator's verbs does to one group."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from rheostat.errors import FailedPrecondition, InvalidRequest, InvalidSpec, Violation
from rheostat.steering.group import Group
from rheostat.steering.motion import Motion
from rheostat.steering.operator import Hold, Term
from rheostat.steering.records import Change, PolicyEdit, ScheduleEdit, Verb
from rheostat.steering.segments import CurveMaker, edited
from rheostat.steering.wishes import as_asked


@dataclass(frozen=True, slots=True)
class Prepared:
    """A change that is ready to be made to a group, once all its other groups are ready too."""

    apply: Callable[[], None]
    bent: tuple[str, ...] = ()
    """The guardrail that bounds the LR asked for. The bound is what is aimed at, so that later
    changes start from there and not from a number nobody ever saw in the optimizer."""


def prepare(
    change: Change, group: Group, *, step: int, steps: int, revision: int, make_curve: CurveMaker
) -> Prepared:
    """Work out what a checked change does to a group.

    Args:
        change: the wish.
        group: one that it is for.
        step: the first that it acts on.
        steps: planned steps of the run.
        revision: of the decision that it will be.
        make_curve: makes the curve of a new schedule.

    Raises:
        InvalidRequest: if a new schedule refuses its arguments.
        FailedPrecondition: if the group's schedule or gain is 0 where a ratio to it is needed.
    """
    if change.edit is not None:
        try:
            segment = edited(
                group.segment,
                change.verb,
                change.edit,
                group=group.name,
                step=step,
                steps=steps,
                revision=revision,
                make_curve=make_curve,
            )
        except InvalidSpec as error:
            raise _refusal(change.edit, error) from error
        return Prepared(lambda: group.follow(segment, step))
    if change.policy is not None:
        return _policy(change.verb, change.policy, group, step, revision)
    return _operator(change, group, step, revision)


def _refusal(edit: ScheduleEdit, error: InvalidSpec) -> InvalidRequest:
    """Return a schedule's own refusal in terms of the request."""
    if edit.schedule:
        return InvalidRequest(as_asked(error, "schedule"))
    return InvalidRequest([Violation("steps", str(edit.steps), f"a length that suits it: {error}")])


def _policy(verb: Verb, edit: PolicyEdit, group: Group, step: int, revision: int) -> Prepared:
    match verb:
        case Verb.ATTACH:
            return Prepared(lambda: group.admit(edit.policy, edit.shadow, revision))
        case Verb.DETACH:
            return Prepared(lambda: group.dismiss(edit.policy, edit.ramp_steps, step, revision))
        case Verb.SHADOW:
            return Prepared(lambda: group.put_in_shadow(edit.policy))
        case Verb.ENGAGE:
            return Prepared(lambda: group.engage(edit.policy, revision))
        case _:
            return Prepared(lambda: None)


def _operator(change: Change, group: Group, step: int, revision: int) -> Prepared:
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
    if not math.isfinite(motion.end * operator.value):
        raise FailedPrecondition(
            f"group {group.name} is scaled by {operator.value:g} already, and no number is as "
            f"large as this {change.verb} would make that: release it first"
        )
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
