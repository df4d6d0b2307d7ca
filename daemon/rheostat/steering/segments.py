"""The schedule of one group as it has been edited: which curve, since when, and how scaled."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from rheostat.errors import FailedPrecondition
from rheostat.spec.schedules import ScheduleSpec
from rheostat.steering.records import ScheduleEdit, Verb
from rheostat_policies import Curve

CurveMaker = Callable[[str, ScheduleSpec | None, int], Curve]
"""Makes the curve of a group: from its name, a schedule (None is the spec's) and planned steps."""

DEFAULT_SHAPE = "1-sqrt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewarming:
    """A rise of the base LR, linear, from a share of it to all of it."""

    start: float
    """Share before its first step, 0 to 1."""
    first_step: int
    steps: int

    def at(self, step: int) -> float:
        """Return the share that a step gets."""
        done = min(step - self.first_step + 1, self.steps)
        return self.start + (1.0 - self.start) * done / self.steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """What gives a group's base LR from one schedule edit to the next.

    Everything but the curve is plain data, and the curve follows from it: so a segment can be
    written down and made again.
    """

    curve: Curve
    """The schedule, by the steps since `origin`."""
    schedule: ScheduleSpec | None = None
    """What the curve was made from; None is the spec's own."""
    origin: int = 0
    """Step of the run at which the curve's own clock stands at 0."""
    level: float = 1.0
    """The LR that stands for `reference`."""
    reference: float = 1.0
    """An LR of the curve; two numbers and not their ratio, so that `level` is met exactly."""
    rewarmings: tuple[Rewarming, ...] = ()
    since: int = 0
    """Step that the newest edit acted on first."""
    revisions: tuple[int, ...] = ()
    """Decisions that made it what it is."""

    def learning_rate(self, step: int) -> float:
        """Return the LR of a step of the run, before the group's `lr_scale`."""
        lr = self.curve.learning_rate(step - self.origin)
        if self.level != self.reference:
            lr = self.level * (lr / self.reference)
        for rewarming in self.rewarmings:
            lr *= rewarming.at(step)
        return lr

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
    match verb:
        case Verb.REWARM:
            assert edit.steps is not None
            rise = Rewarming(start=edit.ratio or 0.0, first_step=step, steps=edit.steps)
            lasting = tuple(one for one in segment.rewarmings if one.first_step + one.steps > step)
            return replace(
                segment,
                rewarmings=(*lasting, rise),
                since=step,
                revisions=(*segment.revisions, revision),
            )
        case Verb.HORIZON:
            assert edit.steps is not None
            own = step - segment.origin
            curve = make_curve(group, segment.schedule, edit.steps - segment.origin)
            planned = replace(
                segment, curve=curve, since=step, revisions=(*segment.revisions, revision)
            )
            present, new = segment.curve.learning_rate(own), _first(curve, own, group)
            if present == new or not edit.rescale:
                return planned
            present = replace(segment, rewarmings=()).learning_rate(step)
            return _from(present, new, planned, group, verb)
        case _:
            schedule = schedule_of(verb, edit)
            curve = make_curve(group, schedule, steps - step)
            swapped = Segment(
                curve=curve, schedule=schedule, origin=step, since=step, revisions=(revision,)
            )
            present = segment.learning_rate(max(step - 1, segment.since))
            new = _first(curve, 0, group)
            if present == new or not (edit.rescale or verb is Verb.COOLDOWN):
                return swapped
            return _from(present, new, swapped, group, verb)


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


def _first(curve: Curve, own: int, group: str) -> float:
    """Return the LR that a new curve starts with, at a step of its own."""
    try:
        lr = float(curve.learning_rate(own))
    except Exception as error:  # somebody else's schedule
        why = f"fails at its step {own} with {type(error).__name__}: {error}"
    else:
        if math.isfinite(lr):
            return lr
        why = f"gives an LR of {lr} at its step {own}"
    raise FailedPrecondition(f"the new schedule of group {group} {why}")


def _from(present: float, new: float, segment: Segment, group: str, verb: Verb) -> Segment:
    """Return a segment scaled so that the present LR takes the place of its new one."""
    if new > 0 and present > 0 and 0 < present / new < math.inf:
        return replace(segment, level=present, reference=new)
    which = f"is now {present:g}" if not present > 0 else f"would start at {new:g}"
    mend = (
        "hold or set the LR first"
        if verb is Verb.COOLDOWN
        else "ask for no rescaling (rescale=false, --no-rescale), or at another step"
    )
    raise FailedPrecondition(
        f"the schedule of group {group} {which}, so that no scale lets its LR of {present:g} go "
        f"on from where it is: {mend}"
    )
