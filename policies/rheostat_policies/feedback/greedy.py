"""Raise the LR while a metric improves, lower it while it does not."""

import math
from typing import Any

from rheostat_policies.api import KEEP, Action, Observation, RunInfo
from rheostat_policies.feedback.bounds import Bounds
from rheostat_policies.feedback.metric import Metric, MetricName, Mode, ThresholdMode

LARGEST = 1e300
"""Values beyond this are taken for infinite: the sum of a window of them would be."""


class Greedy:
    """Divide the factor by `factor` after a run of good values, multiply it after a run of bad.

    Observes one metric, and acts only when a new value of it arrives: `train_loss` at every step,
    the others after each evaluation. With the counters of GreedyLR (arXiv 2512.14527),

        value improves on best:  good = good + 1, bad = 0;   else bad = bad + 1, good = 0
        good > patience:  f = min(f / factor, max_factor), then ignore `warmup` values
        bad > patience:   f = max(f * factor, min_factor), then ignore `cooldown` values

    After `reset_start` cuts at the floor, everything starts again from f = 1. These are the
    arguments and the LRs of `transformers.GreedyLR` beneath a constant schedule, but for what keeps
    that class from lowering a small LR: its bounds are LRs (by default 1e-3 to 1) where these are
    multiples of the schedule, and it makes no change below `eps`. Also, a value that is not finite
    is a bad one here and does not enter the average; there it stays in the average for ever.

    Not beneath a schedule that is already right: it answers noise with noise. Not on a raw
    `train_loss` without `smooth`, nor together with `plateau` or `adalrs`: they pull at one string.

    Args:
        metric: what to watch: train_loss, validation_loss or validation_accuracy.
        mode: `min` or `max`; by default what is better for the metric.
        factor: what a cut multiplies by and a raise divides by, between 0 and 1.
        patience: good or bad values in a row that are let pass, >= 0.
        threshold: least improvement that counts, >= 0; below 1 in threshold_mode `rel`.
        threshold_mode: `rel` means a share of the best value, `abs` the metric's own unit.
        cooldown: values ignored after a cut, >= 0.
        warmup: values ignored after a raise, >= 0.
        min_factor: smallest factor, greater than 0 and at most 1.
        max_factor: largest factor, at least 1.
        smooth: judge the mean of the last values instead of each.
        window_size: number of values in that mean, >= 1.
        reset_start: cuts at the floor before it starts again, >= 1.

    Raises:
        ValueError: if an argument is out of its range.
    """

    def __init__(
        self,
        *,
        metric: MetricName = "train_loss",
        mode: Mode | None = None,
        factor: float = 0.95,
        patience: int = 10,
        threshold: float = 1e-6,
        threshold_mode: ThresholdMode = "abs",
        cooldown: int = 0,
        warmup: int = 0,
        min_factor: float = 0.01,
        max_factor: float = 10.0,
        smooth: bool = False,
        window_size: int = 50,
        reset_start: int = 500,
    ) -> None:
        if not 0 < factor < 1:
            raise ValueError(f"factor={factor} must be between 0 and 1")
        if patience < 0:
            raise ValueError(f"patience={patience} must be at least 0")
        if cooldown < 0:
            raise ValueError(f"cooldown={cooldown} must be at least 0")
        if warmup < 0:
            raise ValueError(f"warmup={warmup} must be at least 0")
        if window_size < 1:
            raise ValueError(f"window_size={window_size} must be at least 1")
        if reset_start < 1:
            raise ValueError(f"reset_start={reset_start} must be at least 1")
        self.metric = Metric(
            metric,
            mode=mode or ("max" if metric == "validation_accuracy" else "min"),
            threshold=threshold,
            threshold_mode=threshold_mode,
        )
        self.factor = factor
        self.patience = patience
        self.cooldown = cooldown
        self.warmup = warmup
        self.bounds = Bounds(min_factor, max_factor)
        self.smooth = smooth
        self.window_size = window_size
        self.reset_start = reset_start

    def initial_state(self, run: RunInfo) -> dict[str, Any]:
        """Start without a best value."""
        return {**self._afresh(), "validation_step": None}

    def decide(
        self, state: dict[str, Any], observation: Observation
    ) -> tuple[Action, dict[str, Any]]:
        """Count a value that arrives; raise or cut when a run of them is long enough."""
        value = self.metric.arriving(observation, state["validation_step"])
        if value is None:
            return KEEP, state
        state = {**state, "validation_step": observation.validation_step}
        if self.smooth:
            value, state["window"] = self._smoothed(value, state["window"])

        for pause in ("cooldown", "warmup"):
            if state[pause] > 0:
                return KEEP, {**state, pause: state[pause] - 1, "good": 0, "bad": 0}
        if self.metric.is_better(value, state["best"]):
            state.update(best=value, good=state["good"] + 1, bad=0)
        else:
            state.update(good=0, bad=state["bad"] + 1)
        if state["good"] > self.patience:
            return self._raise(state, observation)
        if state["bad"] > self.patience:
            return self._cut(state, observation)
        return KEEP, state

    def _smoothed(self, value: float, window: list[float]) -> tuple[float, list[float]]:
        """Return the mean with a new value, and the values it is of."""
        if not abs(value) < LARGEST:
            return math.nan, window
        window = [*window, value][-self.window_size :]
        return sum(window) / len(window), window

    def _raise(
        self, state: dict[str, Any], observation: Observation
    ) -> tuple[Action, dict[str, Any]]:
        present = min(observation.factor.values(), default=1.0)
        wanted = self.bounds.clamp(present / self.factor)
        reason = f"{self.metric.name} improved {state['good']} times in a row: LR / {self.factor:g}"
        action = Action(factor=wanted, reason=reason) if wanted > present else KEEP
        return action, {**state, "good": 0, "warmup": self.warmup, "cuts_at_floor": 0}

    def _cut(
        self, state: dict[str, Any], observation: Observation
    ) -> tuple[Action, dict[str, Any]]:
        present = min(observation.factor.values(), default=1.0)
        wanted = self.bounds.clamp(present * self.factor)
        reason = f"{self.metric.name} has not improved in {state['bad']} values"
        state = {**state, "bad": 0, "cooldown": self.cooldown}
        if wanted <= self.bounds.lowest:
            state["cuts_at_floor"] += 1
            if state["cuts_at_floor"] >= self.reset_start:
                wanted, reason = 1.0, f"{self.reset_start} cuts at the floor: starting again"
                state.update(self._afresh(), cooldown=self.cooldown)
        return Action(factor=wanted, reason=reason) if wanted != present else KEEP, state

    def _afresh(self) -> dict[str, Any]:
        return {
            "best": None,
            "good": 0,
            "bad": 0,
            "cooldown": 0,
            "warmup": 0,
            "cuts_at_floor": 0,
            "window": [],
        }
