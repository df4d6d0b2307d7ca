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
    scale: float = 1.0
    rewarmings: tuple[Rewarming, ...] = ()
    revisions: tuple[int, ...] = ()
    """Decisions that made it what it is."""

    def learning_rate(self, step: int) -> float:
        """Return the LR of a step of the run, before the group's `lr_scale`."""
        lr = self.curve.learning_rate(step - self.origin) * self.scale
        for rewarming in self.rewarmings:
            lr *= rewarming.at(step)
        return lr

    def as_curve(self) -> Curve:
        """Return the segment as a curve of the run's steps; an unedited one is its own."""
        if self.origin == 0 and self.scale == 1.0 and not self.rewarmings:
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
                revisions=(*segment.revisions, revision),
            )
        case Verb.HORIZON:
            assert edit.steps is not None
            curve = make_curve(group, segment.schedule, edit.steps - segment.origin)
            scale = segment.scale
            if edit.rescale:
                own = step - segment.origin
                scale *= _ratio(
                    segment.curve.learning_rate(own), curve.learning_rate(own), group, verb
                )
            return replace(
                segment, curve=curve, scale=scale, revisions=(*segment.revisions, revision)
            )
        case _:
            schedule = schedule_of(verb, edit)
            curve = make_curve(group, schedule, steps - step)
            scale = 1.0
            if edit.rescale or verb is Verb.COOLDOWN:
                present = segment.learning_rate(max(step - 1, segment.origin))
                scale = _ratio(present, curve.learning_rate(0), group, verb)
            return Segment(
                curve=curve, schedule=schedule, origin=step, scale=scale, revisions=(revision,)
            )


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


def _ratio(present: float, new: float, group: str, verb: Verb) -> float:
    """Return what brings a new curve's LR to the present one."""
    if present == new:
        return 1.0
    if new > 0 and present > 0 and math.isfinite(new) and math.isfinite(present):
        return present / new
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
