"""Search for the LR at which the loss falls fastest."""

import math
from typing import Any

from rheostat_policies.api import KEEP, Action, Observation, RunInfo
from rheostat_policies.feedback.bounds import Bounds
from rheostat_policies.feedback.slope import LARGEST, empty_sums, line_through, with_value

SMALLEST_TRIAL = 1.01
"""The search is over when a trial would change the LR by less than this ratio."""
ALARM = 6.0
"""Standard deviations above the mean of the window before at which a trial is given up."""


class AdaLRS:
    """Try a higher and a lower LR in turn; keep whichever makes the loss fall faster.

    Observes `train_loss` at every step. The velocity v of a window is minus the slope of the least
    squares line through its `window` losses, with standard error e. The search goes

        measure v0 at the present factor f
        try f * step (up) or f / step (down): let `settle` steps pass, then measure v1
        v1 - v0 > significance * sqrt(e0^2 + e1^2):  keep it, v0 = v1, try the same way again
        else:  back to f, settle, measure anew, and try the other way

    Two failures in a row, one each way, bring `step` nearer to 1: to the power of `decay`. A trial
    is given up at once when a loss is not finite, or above the mean of the window before it by more
    than 6 of its standard deviations. The search ends when a trial would be less than 1 %.

    After AdaLRS (arXiv 2506.13274), the search of an LR by loss descent velocity, with two
    differences. A failed trial does not rewind the model: the LR goes back, the weights do not, so
    a trial that does harm is paid for. And "faster" means beyond the noise of both windows instead
    of by a fixed bound.

    For long runs beneath a constant or slowly moving schedule. Not during warm-up or a cool-down,
    where the velocity changes whatever the LR is; not for runs of a few windows; not where the
    loss is flat for good reason (the end of training), because nothing is faster there.

    Args:
        window: losses that one line is put through, >= 3.
        settle: steps between a change and the measuring of it, >= 0.
        step: ratio of a trial, > 1.
        decay: power by which `step` shrinks after failures both ways, between 0 and 1.
        significance: standard errors by which a trial must be faster, >= 0.
        min_factor: smallest factor, greater than 0 and at most 1.
        max_factor: largest factor, at least 1.

    Raises:
        ValueError: if an argument is out of its range.
    """

    def __init__(
        self,
        *,
        window: int = 100,
        settle: int = 20,
        step: float = 1.5,
        decay: float = 0.7,
        significance: float = 1.0,
        min_factor: float = 0.1,
        max_factor: float = 10.0,
    ) -> None:
        if window < 3:
            raise ValueError(f"window={window} must be at least 3")
        if settle < 0:
            raise ValueError(f"settle={settle} must be at least 0")
        if not 1 < step < math.inf:
            raise ValueError(f"step={step} must be greater than 1 and finite")
        if not 0 < decay < 1:
            raise ValueError(f"decay={decay} must be between 0 and 1")
        if not 0 <= significance < math.inf:
            raise ValueError(f"significance={significance} must be at least 0 and finite")
        self.window = window
        self.settle = settle
        self.step = step
        self.decay = decay
        self.significance = significance
        self.bounds = Bounds(min_factor, max_factor)

    def initial_state(self, run: RunInfo) -> dict[str, Any]:
        """Start by measuring at the factor 1; the first trial is up."""
        return {
            "factor": 1.0,  # the one that is kept; a trial's is not
            "before": None,  # velocity, error and alarm to beat; None while they are measured
            "direction": 1,
            "step": self.step,
            "failures": 0,
            "settling": 0,
            "sums": empty_sums(),
        }

    def decide(
        self, state: dict[str, Any], observation: Observation
    ) -> tuple[Action, dict[str, Any]]:
        """Take in one loss; at the end of a window decide what it means."""
        loss, before = observation.train_loss, state["before"]
        if state["step"] < SMALLEST_TRIAL:
            return KEEP, state
        if before is not None and not loss <= before["alarm"]:
            return self._go_back(state, f"loss {loss:.4g} is out of hand")
        if not abs(loss) < LARGEST:
            return KEEP, {**state, "sums": empty_sums()}
        if state["settling"] > 0:
            return KEEP, {**state, "settling": state["settling"] - 1}

        sums = with_value(state["sums"], loss)
        if sums["count"] < self.window:
            return KEEP, {**state, "sums": sums}
        line = line_through(sums)
        measured = {
            "velocity": -line.slope,
            "error": line.error,
            "alarm": line.mean + ALARM * line.deviation,
        }
        if before is None:
            return self._try(state, measured)
        gain = measured["velocity"] - before["velocity"]
        if gain > self.significance * math.hypot(measured["error"], before["error"]):
            kept = {**state, "factor": self._trial(state), "failures": 0}
            return self._try(kept, measured)
        return self._go_back(state, f"the loss falls by {measured['velocity']:.3g} a step")

    def _trial(self, state: dict[str, Any]) -> float:
        """Return the factor that a trial tries."""
        wanted: float = state["factor"] * state["step"] ** state["direction"]
        return self.bounds.clamp(wanted)

    def _try(
        self, state: dict[str, Any], measured: dict[str, float]
    ) -> tuple[Action, dict[str, Any]]:
        """Try the next factor, unless there is no room for one that way."""
        trial, factor = self._trial(state), state["factor"]
        if max(trial, factor) < SMALLEST_TRIAL * min(trial, factor):
            return KEEP, self._after_failure(state)
        reason = f"the loss falls by {measured['velocity']:.3g} a step: trying {trial:.4g}"
        return Action(factor=trial, reason=reason), {
            **state,
            "before": measured,
            "settling": self.settle,
            "sums": empty_sums(),
        }

    def _go_back(self, state: dict[str, Any], why: str) -> tuple[Action, dict[str, Any]]:
        """Give a trial up."""
        was = state["before"]["velocity"]
        reason = f"{why}, not faster than {was:.3g} before: back to {state['factor']:.4g}"
        return Action(factor=state["factor"], reason=reason), self._after_failure(state)

    def _after_failure(self, state: dict[str, Any]) -> dict[str, Any]:
        """Turn round; after failures both ways, with a smaller step."""
        failures, step = state["failures"] + 1, state["step"]
        if failures == 2:
            failures, step = 0, step**self.decay
        return {
            **state,
            "before": None,
            "direction": -state["direction"],
            "step": step,
            "failures": failures,
            "settling": self.settle,
            "sums": empty_sums(),
        }
