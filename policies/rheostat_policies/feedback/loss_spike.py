"""Cut the LR when the loss jumps, wait, and come back: what operators do by hand at 3 a.m."""

import math
from typing import Any

from rheostat_policies.api import KEEP, Action, Observation, Restore, RunInfo


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

    With `back_steps` a spike takes the model back as well: to the newest checkpoint that is at
    least so many steps old, with every batch up to the present one left out, and `skip_beyond`
    more. The cut acts from there on. A loss that is not finite, which would end the run, is mended
    the same way, at once and whatever the average is. After `restores` times it only cuts again.

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
        back_steps: steps to go back at a spike, >= 0; 0 is not to.
        skip_beyond: batches after the present one to leave out then, >= 0.
        restores: how often it may go back, >= 1.

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
        back_steps: int = 0,
        skip_beyond: int = 0,
        restores: int = 3,
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
        if back_steps < 0:
            raise ValueError(f"back_steps={back_steps} must be at least 0")
        if skip_beyond < 0:
            raise ValueError(f"skip_beyond={skip_beyond} must be at least 0")
        if restores < 1:
            raise ValueError(f"restores={restores} must be at least 1")
        self.threshold = threshold
        self.cut = cut
        self.hold_steps = hold_steps
        self.ramp_steps = ramp_steps
        self.decay = decay
        self.warmup_steps = warmup_steps
        self.floor = floor
        self.back_steps = back_steps
        self.skip_beyond = skip_beyond
        self.restores = restores
        self.mends_non_finite = back_steps > 0

    def initial_state(self, run: RunInfo) -> dict[str, Any]:
        """Start with an empty average."""
        return {
            "ema": 0.0,
            "weight": 0.0,
            "seen": 0,
            "spiking": 0,
            "back_at": None,
            "restored": 0,
        }

    def decide(
        self, state: dict[str, Any], observation: Observation
    ) -> tuple[Action, dict[str, Any]]:
        """Cut at a spike, start the way back when the hold is over, else keep."""
        loss, ema, weight = observation.train_loss, state["ema"], state["weight"]
        seen, back_at = state["seen"], state["back_at"]
        # Both sides times the weight: no division, and an empty average is no bar.
        is_spike = seen >= self.warmup_steps and not loss * weight <= self.threshold * ema
        if self._may_restore(state) and (is_spike or not math.isfinite(loss)):
            return self._restore(state, observation)
        if is_spike:
            if state["spiking"] < max(1, self.hold_steps):
                return self._cut(state, observation)
            ema, weight, seen = 0.0, 0.0, 0  # high for a whole hold: the new normal

        if math.isfinite(loss):
            ema = self.decay * ema + (1 - self.decay) * loss
            weight = self.decay * weight + (1 - self.decay)
            seen += 1
        state = {**state, "ema": ema, "weight": weight, "seen": seen, "spiking": 0}
        if back_at is not None and observation.step >= back_at:
            return self._return(state)
        return KEEP, state

    def _may_restore(self, state: dict[str, Any]) -> bool:
        return self.back_steps > 0 and state["restored"] < self.restores

    def _restore(
        self, state: dict[str, Any], observation: Observation
    ) -> tuple[Action, dict[str, Any]]:
        """Go back around the batches, and cut from there on; each time deeper."""
        restore = Restore(back_steps=self.back_steps, skip_beyond=self.skip_beyond)
        reason = f"{self._told(state, observation)}: back {self.back_steps} steps or more"
        action = Action(factor=self._cut_factor(observation), reason=reason, restore=restore)
        return action, {
            **state,
            "spiking": 0,
            "back_at": observation.step + self.hold_steps,
            "restored": state["restored"] + 1,
        }

    def _cut(
        self, state: dict[str, Any], observation: Observation
    ) -> tuple[Action, dict[str, Any]]:
        """Cut, unless a cut is being held already: then only prolong it."""
        is_held = state["back_at"] is not None
        back_at = observation.step + self.hold_steps
        told = self._told(state, observation)
        state = {**state, "spiking": state["spiking"] + 1, "back_at": back_at}
        if is_held:
            return KEEP, state
        return Action(factor=self._cut_factor(observation), reason=told), state

    def _cut_factor(self, observation: Observation) -> float:
        return max(self.floor, min(observation.factor.values(), default=1.0) * self.cut)

    def _told(self, state: dict[str, Any], observation: Observation) -> str:
        loss, weight = observation.train_loss, state["weight"]
        if not weight:
            return f"loss {loss:.4g}"
        average = state["ema"] / weight
        return f"loss {loss:.4g} is over {self.threshold:g} x its average of {average:.4g}"

    def _return(self, state: dict[str, Any]) -> tuple[Action, dict[str, Any]]:
        reason = f"no spike for {self.hold_steps} steps: back to 1 over {self.ramp_steps} steps"
        action = Action(factor=1.0, ramp_steps=self.ramp_steps, reason=reason)
        return action, {**state, "back_at": None}
