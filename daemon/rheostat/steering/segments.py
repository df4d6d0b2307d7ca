"""The schedule of one group as it has been edited: which curve, since when, and how scaled."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from rheostat.errors import FailedPrecondition
from rheostat.spec.schedules import ScheduleSpec
from rheostat.steering.records import ScheduleEdit, Verb
from rheostat_policies import Curve
from rheostat_policies.schedules.segments import NoScaleError, refitted, rewarmed, swapped
from rheostat_policies.schedules.segments import Segment as EditedCurve

CurveMaker = Callable[[str, ScheduleSpec | None, int], Curve]
"""Makes the curve of a group: from its name, a schedule (None is the spec's) and planned steps."""

DEFAULT_SHAPE = "1-sqrt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment(EditedCurve):
    """What gives a group's base LR from one schedule edit to the next, before its `lr_scale`.

    Everything but the curve is plain data, and the curve follows from it: so a segment can be
    written down and made again.
    """

    schedule: ScheduleSpec | None = None
    """What the curve was made from; None is the spec's own."""
    steps: int | None = None
    """Planned steps that the curve was made for, from its own first; None is the spec's own."""
    revisions: tuple[int, ...] = ()
    """Decisions that made it what it is."""

    def as_curve(self) -> Curve:
        """Return the segment as a curve of the run's steps; an unedited one is its own."""
        if self.origin == 0 and self.level == self.reference and not self.rewarmings:
            return self.curve
        momentum, origin = self.curve.momentum, self.origin
        return Curve(
            learning_rate=self.learning_rate,
            momentum=None if momentum is None else lambda step: momentum(step - origin),
        )


def edited(
    segment: Segment,
    verb: Verb,
    edit: ScheduleEdit,
    *,
    group: str,
    step: int,
    steps: int,
    revision: int,
    make_curve: CurveMaker,
) -> Segment:
    """Return what becomes of a segment at a step.

    Args:
        segment: as it is.
        verb: one of `SCHEDULE_VERBS`.
        edit: a checked wish.
        group: name of the group.
        step: the first that the edit acts on.
        steps: planned steps of the run, before the edit.
        revision: of the decision that the edit will be.
        make_curve: makes the curve of a new schedule.

    Raises:
        InvalidSpec: if the schedule refuses its arguments.
        FailedPrecondition: if no scale makes the LR go on from where it is.
    """
    if verb is Verb.REWARM:
        assert edit.steps is not None
        risen = rewarmed(segment, step, steps=edit.steps, start=edit.ratio or 0.0)
        return replace(risen, revisions=(*segment.revisions, revision))
    try:
        if verb is Verb.HORIZON:
            assert edit.steps is not None
            curve = make_curve(group, segment.schedule, edit.steps - segment.origin)
            _check_start(curve, step - segment.origin, group)
            planned = refitted(segment, curve, step, rescale=edit.rescale)
            made_for = edit.steps - segment.origin
            return replace(planned, steps=made_for, revisions=(*segment.revisions, revision))
        schedule = schedule_of(verb, edit)
        curve = make_curve(group, schedule, steps - step)
        _check_start(curve, 0, group)
        rescale = edit.rescale or verb is Verb.COOLDOWN
        fresh = swapped(segment, curve, step, rescale=rescale)
        return replace(fresh, schedule=schedule, steps=steps - step, revisions=(revision,))
    except NoScaleError as error:
        raise _impossible(error, group, verb) from None


def schedule_of(verb: Verb, edit: ScheduleEdit) -> ScheduleSpec:
    """Return the schedule that a swap names, or that a cooldown is."""
    if verb is Verb.SWAP:
        return ScheduleSpec(name=edit.schedule, args=json.loads(edit.args or "{}"))
    return ScheduleSpec(
        name="warmup_stable_decay",
        args={
            "num_stable_steps": 0,
            "num_decay_steps": "1dur" if edit.steps is None else edit.steps,
            "decay_type": edit.shape or DEFAULT_SHAPE,
            "min_lr_ratio": edit.ratio or 0.0,
        },
    )


def _check_start(curve: Curve, own: int, group: str) -> None:
    """Refuse a new curve that gives no LR at the step of its own that it starts with."""
    try:
        lr = float(curve.learning_rate(own))
    except Exception as error:  # somebody else's schedule
        why = f"fails at its step {own} with {type(error).__name__}: {error}"
    else:
        if math.isfinite(lr):
            return
        why = f"gives an LR of {lr} at its step {own}"
    raise FailedPrecondition(f"the new schedule of group {group} {why}")


def _impossible(error: NoScaleError, group: str, verb: Verb) -> FailedPrecondition:
    """Return the error that says why an LR cannot go on from where it is, and what to do."""
    present, new = error.present, error.new
    which = f"is now {present:g}" if not present > 0 else f"would start at {new:g}"
    mend = (
        "hold or set the LR first"
        if verb is Verb.COOLDOWN
        else "ask for no rescaling (rescale=false, --no-rescale), or at another step"
    )
    return FailedPrecondition(
        f"the schedule of group {group} {which}, so that no scale lets its LR of {present:g} go "
        f"on from where it is: {mend}"
    )
