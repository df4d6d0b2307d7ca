"""Follow the gradient noise scale: the noisier the gradient, the smaller the step worth taking."""

import math
from typing import Any

from rheostat_policies.api import KEEP, Action, Observation, RunInfo
from rheostat_policies.feedback.bounds import Bounds

LARGEST = 1e100
"""Estimates beyond this are no estimates: a diverging step must not fill the averages for long."""
SMALLEST_CHANGE = 0.02
"""Changes of less than this share are not worth a record."""


class NoiseScale:
    """Scale the LR by what the gradient noise scale says of the batch size in use.

    Observes `gradient_signal` |G|^2 and `gradient_noise` tr(S)/B at every step. The LR that lowers
    the loss most with batches of B samples (McCandlish et al., arXiv 1812.06162, section 2) is

        lr(B) = lr_max / (1 + r)^power,   r = B_noise / B = gradient_noise / gradient_signal

    The schedule's LR is taken to be right at the start, so the factor follows the change since:

        f = ((1 + r0) / (1 + r))^power

    with r the ratio of two moving averages (both estimates scatter, and their ratio is biased), r0
    its value after `warmup_steps`, and a change made every `every` steps if it is of 2 % or more.

    Noise grows as training goes on, so f falls: a decay that follows the run instead of a clock.
    Not beneath a schedule that decays already. It needs micro-batches to compare
    (`train.accumulate` of 2 or more): without them there is nothing to observe and it never acts.

    Args:
        power: 1 for SGD, 0.5 to 1 for Adam; greater than 0 and at most 1.
        decay: of the moving averages, 0 to below 1.
        warmup_steps: measured steps before r0 is taken, >= 1.
        every: measured steps between two looks, >= 1.
        min_factor: smallest factor, greater than 0 and at most 1.
        max_factor: largest factor, at least 1.

    Raises:
        ValueError: if an argument is out of its range.
    """

    observes = ("gradient_signal", "gradient_noise")

    def __init__(
        self,
        *,
        power: float = 1.0,
        decay: float = 0.99,
        warmup_steps: int = 200,
        every: int = 100,
        min_factor: float = 0.1,
        max_factor: float = 2.0,
    ) -> None:
        if not 0 < power <= 1:
            raise ValueError(f"power={power} must be greater than 0 and at most 1")
        if not 0 <= decay < 1:
            raise ValueError(f"decay={decay} must be at least 0 and below 1")
        if warmup_steps < 1:
            raise ValueError(f"warmup_steps={warmup_steps} must be at least 1")
        if every < 1:
            raise ValueError(f"every={every} must be at least 1")
        self.power = power
        self.decay = decay
        self.warmup_steps = warmup_steps
        self.every = every
        self.bounds = Bounds(min_factor, max_factor)

    def initial_state(self, run: RunInfo) -> dict[str, Any]:
        """Start with empty averages and no reference."""
        return {"signal": 0.0, "noise": 0.0, "seen": 0, "reference": None}

    def decide(
        self, state: dict[str, Any], observation: Observation
    ) -> tuple[Action, dict[str, Any]]:
        """Feed the averages; at every look, go where their ratio says."""
        signal, noise = observation.gradient_signal, observation.gradient_noise
        if signal is None or noise is None:
            return KEEP, state
        if not (abs(signal) < LARGEST and abs(noise) < LARGEST):
            return KEEP, state
        keep, seen = self.decay, state["seen"] + 1
        # Both averages start at 0 and are biased alike: the ratio is not.
        state = {
            **state,
            "signal": keep * state["signal"] + (1 - keep) * signal,
            "noise": keep * state["noise"] + (1 - keep) * noise,
            "seen": seen,
        }
        ratio = self._ratio(state)
        if ratio is None or seen < self.warmup_steps:
            return KEEP, state
        if state["reference"] is None:
            return KEEP, {**state, "reference": ratio}
        if seen % self.every:
            return KEEP, state
        return self._follow(state["reference"], ratio, observation), state

    def _ratio(self, state: dict[str, Any]) -> float | None:
        """Return r, None where the noise still drowns the signal."""
        if not state["signal"] > 0:
            return None
        ratio: float = max(0.0, state["noise"]) / state["signal"]
        return ratio if math.isfinite(ratio) else None

    def _follow(self, reference: float, ratio: float, observation: Observation) -> Action:
        present = min(observation.factor.values(), default=1.0)
        wanted: float = ((1 + reference) / (1 + ratio)) ** self.power
        wanted = self.bounds.clamp(wanted)
        if abs(wanted - present) < SMALLEST_CHANGE * present:
            return KEEP
        reason = f"the noise scale is {ratio:.3g} batches, and was {reference:.3g} at first"
        return Action(factor=wanted, reason=reason)
