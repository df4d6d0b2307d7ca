"""Lower the LR when a metric has stopped improving."""

import math
from collections.abc import Mapping
from typing import Any

from rheostat_policies.api import KEEP, Action, Observation, RunInfo
from rheostat_policies.feedback.metric import Metric, MetricName, Mode, ThresholdMode


class Plateau:
    """Multiply the LR by `factor` when a metric has not improved for more than `patience` values.

    Observes one metric, and acts only when a new value of it arrives: `train_loss` at every step,
    the others after each evaluation. With torch's counters,

        bad = 0 if value improves on best, else bad + 1; kept at 0 for `cooldown` values after a cut
        bad > patience:  LR = max(LR * factor, min_lr), if that lowers it by more than `eps`

    where LR is the schedule's times this policy's factor, so beneath a constant schedule the LRs
    are those of `torch.optim.lr_scheduler.ReduceLROnPlateau`, whose arguments these are. One thing
    is different on purpose: a value that is not finite is no improvement, where torch would take a
    loss of minus infinity for the best ever.

    It never raises the LR again. Not for schedules that decay by themselves (cosine, linear): both
    would lower the LR. Not on a raw `train_loss` without a `patience` of hundreds of steps: the
    best of noisy values is a lucky batch.

    Args:
        metric: what to watch: train_loss, validation_loss or validation_accuracy.
        mode: `min` or `max`; by default what is better for the metric.
        factor: what a cut multiplies the LR by, between 0 and 1.
        patience: values without improvement that are let pass, >= 0.
        threshold: least improvement that counts, >= 0; below 1 in threshold_mode `rel`.
        threshold_mode: `rel` means a share of the best value, `abs` the metric's own unit.
        cooldown: values after a cut that are not counted, >= 0.
        min_lr: lowest LR this policy leads to, >= 0, for every group or by group name; a group
            without one has 0.
        eps: a cut that lowers the LR by no more than this is not made, >= 0.

    Raises:
        ValueError: if an argument is out of its range.
    """

    def __init__(
        self,
        *,
        metric: MetricName = "validation_loss",
        mode: Mode | None = None,
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: ThresholdMode = "rel",
        cooldown: int = 0,
        min_lr: float | dict[str, float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        if not 0 < factor < 1:
            raise ValueError(f"factor={factor} must be between 0 and 1")
        if patience < 0:
            raise ValueError(f"patience={patience} must be at least 0")
        if cooldown < 0:
            raise ValueError(f"cooldown={cooldown} must be at least 0")
        floors = min_lr.values() if isinstance(min_lr, Mapping) else (min_lr,)
        if not all(0 <= floor < math.inf for floor in floors):
            raise ValueError(f"min_lr={min_lr} must be at least 0 and finite")
        if not 0 <= eps < math.inf:
            raise ValueError(f"eps={eps} must be at least 0 and finite")
        self.metric = Metric(
            metric,
            mode=mode or ("max" if metric == "validation_accuracy" else "min"),
            threshold=threshold,
            threshold_mode=threshold_mode,
        )
        self.factor = factor
        self.patience = patience
        self.cooldown = cooldown
        self.min_lr = min_lr
        self.eps = eps

    def initial_state(self, run: RunInfo) -> dict[str, Any]:
        """Start without a best value.

        Raises:
            ValueError: if `min_lr` names a group that the run does not have.
        """
        groups = [group.name for group in run.groups]
        for name in self.min_lr if isinstance(self.min_lr, Mapping) else ():
            if name not in groups:
                raise ValueError(f"min_lr={self.min_lr} must name groups of {', '.join(groups)}")
        return {"best": None, "bad": 0, "cooldown": 0, "validation_step": None}

    def decide(
        self, state: dict[str, Any], observation: Observation
    ) -> tuple[Action, dict[str, Any]]:
        """Count a value that arrives, and cut when there were too many bad ones."""
        value = self.metric.arriving(observation, state["validation_step"])
        if value is None:
            return KEEP, state

        best, bad, cooldown = state["best"], state["bad"] + 1, state["cooldown"]
        if self.metric.is_better(value, best):
            best, bad = value, 0
        if cooldown > 0:
            cooldown, bad = cooldown - 1, 0
        action = KEEP
        if bad > self.patience:
            action = self._cut(observation, best, bad)
            cooldown, bad = self.cooldown, 0
        return action, {
            "best": best,
            "bad": bad,
            "cooldown": cooldown,
            "validation_step": observation.validation_step,
        }

    def _cut(self, observation: Observation, best: float | None, bad: int) -> Action:
        """Lower every group that still has room; keep where none has."""
        lowered = {}
        for group, present in observation.factor.items():
            base = observation.base.get(group, 0.0)
            old = base * present
            new = max(old * self.factor, self._floor(group))
            # Where eps is 0, a group at its floor must not be "lowered" by a rounding error.
            if old - new > max(self.eps, 1e-12 * old) and new / base > 0:
                lowered[group] = new / base
        if not lowered:
            return KEEP
        than = "" if best is None else f" on {best:.4g}"
        reason = f"{self.metric.name} has not improved{than} in {bad} values: LR x {self.factor:g}"
        return Action(factor=lowered, reason=reason)

    def _floor(self, group: str) -> float:
        return self.min_lr.get(group, 0.0) if isinstance(self.min_lr, Mapping) else self.min_lr
