"""A schedule that was edited while it ran: which curve, since when, how scaled and rewarmed."""

import math
from dataclasses import dataclass, replace
from typing import TypeVar

from rheostat_policies.schedules.api import Curve

S = TypeVar("S", bound="Segment")


class NoScaleError(ValueError):
    """No scale brings the LR that a new curve starts with to the present one."""

    def __init__(self, present: float, new: float) -> None:
        self.present = present
        self.new = new
        super().__init__(f"no scale leads from an LR of {present:g} to one of {new:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewarming:
    """A rise, linear, from a share of the LR to all of it."""

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
    """What gives the LR from one edit to the next."""

    curve: Curve
    """The schedule, by the steps since `origin`."""
    origin: int = 0
    """Step of the run at which the curve's own clock stands at 0."""
    level: float = 1.0
    """The LR that stands for `reference`."""
    reference: float = 1.0
    """An LR of the curve; two numbers and not their ratio, so that `level` is met exactly."""
    rewarmings: tuple[Rewarming, ...] = ()
    since: int = 0
    """Step that the newest edit acted on first."""

    def learning_rate(self, step: int) -> float:
        """Return the LR of a step of the run."""
        lr = self.curve.learning_rate(step - self.origin)
        if self.level != self.reference:
            lr = self.level * (lr / self.reference)
        for rewarming in self.rewarmings:
            lr *= rewarming.at(step)
        return lr


def swapped(segment: S, curve: Curve, step: int, *, rescale: bool) -> S:
    """Return a segment of another curve, whose clock starts at a step.

    Args:
        segment: what was before.
        curve: the new one.
        step: the first that it acts on.
        rescale: whether to scale it to start at the LR of the step before.

    Raises:
        NoScaleError: if no scale does that.
    """
    fresh = replace(
        segment, curve=curve, origin=step, since=step, level=1.0, reference=1.0, rewarmings=()
    )
    if not rescale:
        return fresh
    return _scaled(fresh, segment.learning_rate(max(step - 1, segment.since)), step)


def refitted(segment: S, curve: Curve, step: int, *, rescale: bool) -> S:
    """Return a segment whose schedule was made anew for another length, on the same clock.

    Args:
        segment: what was before.
        curve: its schedule, made anew.
        step: the first that it acts on.
        rescale: whether to scale it so that this step's LR stays.

    Raises:
        NoScaleError: if no scale does that.
    """
    fresh = replace(segment, curve=curve, since=step)
    own = step - segment.origin
    if not rescale or segment.curve.learning_rate(own) == curve.learning_rate(own):
        return fresh
    return _scaled(fresh, replace(segment, rewarmings=()).learning_rate(step), step)


def rewarmed(segment: S, step: int, *, steps: int, start: float) -> S:
    """Return a segment that rises from a share of its LR, at a step, to all of it.

    Args:
        segment: what was before.
        step: the first that it acts on.
        steps: length of the rise.
        start: the share, 0 to 1.
    """
    lasting = tuple(one for one in segment.rewarmings if one.first_step + one.steps > step)
    rise = Rewarming(start=start, first_step=step, steps=steps)
    return replace(segment, rewarmings=(*lasting, rise), since=step)


def _scaled(segment: S, present: float, step: int) -> S:
    """Return a segment scaled so that the present LR takes the place of its curve's at a step."""
    new = segment.curve.learning_rate(step - segment.origin)
    if present == new and segment.level == segment.reference:
        return segment
    if present > 0 and new > 0 and 0 < present / new < math.inf:
        return replace(segment, level=present, reference=new)
    raise NoScaleError(present, new)
