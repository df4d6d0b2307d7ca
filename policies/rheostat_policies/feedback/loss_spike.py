"""Cut the LR when the loss jumps, wait, and come back: what operators do by hand at 3 a.m."""

import math
from typing import Any

from rheostat_policies.api import KEEP, Action, Observation, RunInfo


class LossSpike:
    """Cut the factor when the loss exceeds a multiple of its moving average.

    Observes `train_loss` at every step. With the exponential moving average

        ema(t) = decay * ema(t-1) + (1 - decay) * loss(t)        (bias-corrected, as Adam's)

    a step with `loss > threshold * ema` is a spike: the factor of every group is multiplied by
    `cut`, held for `hold_steps` after the last spike, and ramped geometrically back to 1 over
    `ramp_steps`. One more spike on the way back cuts again, from where the factor is then, down to
    `floor`; those during the hold only prolong it. Spikes do not enter the average, so one bad
    batch cannot raise the bar for the next; a loss that stays high for a whole hold is the new
    normal and restarts the average. NaN and infinity are spikes too, and never enter the average.

    This is the manual practice of PaLM (arXiv 2204.02311, section 5.1) and of the OPT-175B logbook
    as a rule. Not for losses that pass through zero or are noisy by nature (RL returns, very small
    batches late in training): there a multiple of the average is no news.

    Args:
        threshold: multiple of the average that counts as a spike, > 1.
        cut: what a spike multiplies the factor by, between 0 and 1.
        hold_steps: steps the cut factor is held, >= 0.
        ramp_steps: steps of the way back, >= 1.
        decay: of the moving average, 0 to below 1.
        warmup_steps: steps at the start that only feed the average, >= 1.
        floor: smallest factor, between 0 and 1.

    Raises:
        ValueError: if an argument is out of its range.
    """

    def __init__(
        self,
        *,
        threshold: float = 3.0,
        cut: float = 0.5,
        hold_steps: int = 50,
        ramp_steps: int = 200,
        decay: float = 0.98,
        warmup_steps: int = 20,
        floor: float = 0.1,
    ) -> None:
        if not threshold > 1:
            raise ValueError(f"threshold={threshold} must be greater than 1")
        if not 0 < cut < 1:
            raise ValueError(f"cut={cut} must be between 0 and 1")
        if hold_steps < 0:
            raise ValueError(f"hold_steps={hold_steps} must be at least 0")
        if ramp_steps < 1:
            raise ValueError(f"ramp_steps={ramp_steps} must be at least 1")
        if not 0 <= decay < 1:
            raise ValueError(f"decay={decay} must be at least 0 and below 1")
        if warmup_steps < 1:
            raise ValueError(f"warmup_steps={warmup_steps} must be at least 1")
        if not 0 < floor <= 1:
            raise ValueError(f"floor={floor} must be greater than 0 and at most 1")
        self.threshold = threshold
        self.cut = cut
        self.hold_steps = hold_steps
        self.ramp_steps = ramp_steps
        self.decay = decay
        self.warmup_steps = warmup_steps
        self.floor = floor

    def initial_state(self, run: RunInfo) -> dict[str, Any]:
        """Start with an empty average."""
        return {"ema": 0.0, "weight": 0.0, "seen": 0, "spiking": 0, "back_at": None}

    def decide(
        self, state: dict[str, Any], observation: Observation
    ) -> tuple[Action, dict[str, Any]]:
        """Cut at a spike, start the way back when the hold is over, else keep."""
        loss, ema, weight = observation.train_loss, state["ema"], state["weight"]
        seen, back_at = state["seen"], state["back_at"]
        # Both sides times the weight: no division, and an empty average is no bar.
        if seen >= self.warmup_steps and not loss * weight <= self.threshold * ema:
            if state["spiking"] < max(1, self.hold_steps):
                return self._cut(state, observation, ema / weight)
            ema, weight, seen = 0.0, 0.0, 0  # high for a whole hold: the new normal

        if math.isfinite(loss):
            ema = self.decay * ema + (1 - self.decay) * loss
            weight = self.decay * weight + (1 - self.decay)
            seen += 1
        state = {"ema": ema, "weight": weight, "seen": seen, "spiking": 0, "back_at": back_at}
        if back_at is not None and observation.step >= back_at:
            return self._return(state)
        return KEEP, state

    def _cut(
        self, state: dict[str, Any], observation: Observation, average: float
    ) -> tuple[Action, dict[str, Any]]:
        """Cut, unless a cut is being held already: then only prolong it."""
        is_held = state["back_at"] is not None
        back_at = observation.step + self.hold_steps
        state = {**state, "spiking": state["spiking"] + 1, "back_at": back_at}
        if is_held:
            return KEEP, state
        present = min(observation.factor.values(), default=1.0)
        reason = (
            f"loss {observation.train_loss:.4g} is over {self.threshold:g} x "
            f"its average of {average:.4g}"
        )
        return Action(factor=max(self.floor, present * self.cut), reason=reason), state

    def _return(self, state: dict[str, Any]) -> tuple[Action, dict[str, Any]]:
        reason = f"no spike for {self.hold_steps} steps: back to 1 over {self.ramp_steps} steps"
        action = Action(factor=1.0, ramp_steps=self.ramp_steps, reason=reason)
        return action, {**state, "back_at": None}
