"""Lower the LR when the loss has stopped falling."""

import math
from typing import TypedDict

from rheostat_policies import KEEP, Action, Observation, RunInfo


class Sums(TypedDict):
    """The losses of the present window, in what a line through them needs: 0 <= x < count."""

    count: int
    loss: float
    """Sum of the losses."""
    moment: float
    """Sum of x times the loss."""


class SlopeBrake:
    """Multiply the factor by `cut` when a line through `window` losses does not fall enough.

    Observes the training loss of every step. At the end of each window,

        fall = -(slope of the least squares line) * window / (mean loss)
        fall < min_fall:  factor = max(factor * cut, floor), over `ramp_steps` steps

    and the next window begins. A line and not two points, because a single loss is noise. It never
    raises the LR again. Beneath a schedule that falls too, the two multiply: mind the `floor`. Not
    for losses that pass through zero.

    Args:
        window: steps that one decision looks at, >= 2.
        min_fall: least fall over a window that is worth the LR, as a share of the loss, >= 0.
        cut: what a cut multiplies the factor by, between 0 and 1.
        floor: smallest factor, above 0 and at most 1.
        ramp_steps: steps that a cut takes, >= 1.

    Raises:
        ValueError: if an argument is out of its range.
    """

    def __init__(
        self,
        *,
        window: int = 200,
        min_fall: float = 0.02,
        cut: float = 0.7,
        floor: float = 0.05,
        ramp_steps: int = 20,
    ) -> None:
        if window < 2:
            raise ValueError(f"window={window} must be at least 2")
        if not 0 <= min_fall < math.inf:
            raise ValueError(f"min_fall={min_fall} must be at least 0 and finite")
        if not 0 < cut < 1:
            raise ValueError(f"cut={cut} must be between 0 and 1")
        if not 0 < floor <= 1:
            raise ValueError(f"floor={floor} must be above 0 and at most 1")
        if ramp_steps < 1:
            raise ValueError(f"ramp_steps={ramp_steps} must be at least 1")
        self.window = window
        self.min_fall = min_fall
        self.cut = cut
        self.floor = floor
        self.ramp_steps = ramp_steps

    def initial_state(self, run: RunInfo) -> Sums:
        """Begin with an empty window."""
        return Sums(count=0, loss=0.0, moment=0.0)

    def decide(self, state: Sums, observation: Observation) -> tuple[Action, Sums]:
        """Take a loss in, and look at the line when the window is full."""
        loss = observation.train_loss
        state = Sums(
            count=state["count"] + 1,
            loss=state["loss"] + loss,
            moment=state["moment"] + state["count"] * loss,
        )
        if state["count"] < self.window:
            return KEEP, state
        empty = Sums(count=0, loss=0.0, moment=0.0)
        fall = _fall(state)
        if fall >= self.min_fall:
            return KEEP, empty
        lower = {
            group: max(factor * self.cut, self.floor)
            for group, factor in observation.factor.items()
            if factor > self.floor
        }
        if not lower:
            return KEEP, empty
        way = "fell" if fall >= 0 else "rose"
        reason = f"the loss {way} by {abs(fall):.1%} in {self.window} steps"
        return Action(factor=lower, ramp_steps=self.ramp_steps, reason=reason), empty


def _fall(sums: Sums) -> float:
    """Return how far the line falls over its window, as a share of the mean loss."""
    count, mean = sums["count"], sums["loss"] / sums["count"]
    spread = count * (count**2 - 1) / 12
    slope = (sums["moment"] - mean * count * (count - 1) / 2) / spread
    return -slope * count / mean if mean else 0.0
