"""A schedule that was edited while it ran: which curve, since when, how scaled and rewarmed."""

import math
from dataclasses import dataclass, replace

from rheostat_policies.schedules.api import Curve


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
    scale: float = 1.0
    rewarmings: tuple[Rewarming, ...] = ()

    def learning_rate(self, step: int) -> float:
        """Return the LR of a step of the run."""
        lr = self.curve.learning_rate(step - self.origin) * self.scale
        for rewarming in self.rewarmings:
            lr *= rewarming.at(step)
        return lr


def swapped(segment: Segment, curve: Curve, step: int, *, rescale: bool) -> Segment | None:
    """Return a segment of another curve, whose clock starts at a step.

    Args:
        segment: what was before.
        curve: the new one.
        step: the first that it acts on.
        rescale: whether to scale it to start at the LR of the step before; None is returned where
            no scale does that.
    """
    scale: float | None = 1.0
    if rescale:
        present = segment.learning_rate(max(step - 1, segment.origin))
        scale = bridge(present, curve.learning_rate(0))
    return None if scale is None else Segment(curve=curve, origin=step, scale=scale)


def refitted(segment: Segment, curve: Curve, step: int, *, rescale: bool) -> Segment | None:
    """Return a segment whose schedule was made anew for another length, on the same clock.

    Args:
        segment: what was before.
        curve: its schedule, made anew.
        step: the first that it acts on.
        rescale: whether to scale it so that this step's LR stays; None is returned where no scale
            does that.
    """
    scale: float | None = 1.0
    if rescale:
        own = step - segment.origin
        scale = bridge(segment.curve.learning_rate(own), curve.learning_rate(own))
    return None if scale is None else replace(segment, curve=curve, scale=segment.scale * scale)


def rewarmed(segment: Segment, step: int, *, steps: int, start: float) -> Segment:
    """Return a segment that rises from a share of its LR, at a step, to all of it.

    Args:
        segment: what was before.
        step: the first that it acts on.
        steps: length of the rise.
        start: the share, 0 to 1.
    """
    lasting = tuple(one for one in segment.rewarmings if one.first_step + one.steps > step)
    rise = Rewarming(start=start, first_step=step, steps=steps)
    return replace(segment, rewarmings=(*lasting, rise))


def bridge(present: float, new: float) -> float | None:
    """Return what brings a new LR to the present one, None where nothing does.

    >>> bridge(0.1, 0.2), bridge(0.0, 0.0), bridge(0.1, 0.0)
    (0.5, 1.0, None)
    """
    if present == new:
        return 1.0
    if new > 0 and present > 0 and math.isfinite(new) and math.isfinite(present):
        return present / new
    return None
