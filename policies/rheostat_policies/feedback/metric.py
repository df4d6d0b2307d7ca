"""A number that tells how training goes: when a new value of it arrives, and which is better."""

import math
from typing import Literal, get_args

from rheostat_policies.api import Observation

MetricName = Literal["train_loss", "validation_loss", "validation_accuracy"]
Mode = Literal["min", "max"]
ThresholdMode = Literal["rel", "abs"]


class Metric:
    """One metric and what counts as an improvement of it, as torch's ReduceLROnPlateau has it.

    Args:
        name: the field of the observation.
        mode: `min` where less is better, `max` where more is.
        threshold: least improvement that counts, >= 0; below 1 in `rel`.
        threshold_mode: `rel` means a share of the best value, `abs` the metric's own unit.

    Raises:
        ValueError: if an argument is not one of its words, or out of its range.
    """

    def __init__(
        self, name: MetricName, *, mode: Mode, threshold: float, threshold_mode: ThresholdMode
    ) -> None:
        if name not in get_args(MetricName):
            raise ValueError(f"metric={name} must be one of {', '.join(get_args(MetricName))}")
        if mode not in get_args(Mode):
            raise ValueError(f"mode={mode} must be min or max")
        if threshold_mode not in get_args(ThresholdMode):
            raise ValueError(f"threshold_mode={threshold_mode} must be rel or abs")
        if not 0 <= threshold < math.inf:
            raise ValueError(f"threshold={threshold} must be at least 0 and finite")
        if threshold_mode == "rel" and not threshold < 1:
            raise ValueError(f"threshold={threshold} must be below 1 in threshold_mode rel")
        self.name = name
        self._sign = 1.0 if mode == "min" else -1.0
        self._relative = threshold_mode == "rel"
        self._threshold = threshold

    def arriving(self, observation: Observation, last_validation: int | None) -> float | None:
        """Return the value that is new in this observation, None where none is.

        The training loss is new at every step; a validation metric at the first step that shows
        another `validation_step` than the one the caller has seen.
        """
        if self.name == "train_loss":
            return observation.train_loss
        if observation.validation_step == last_validation:
            return None
        if self.name == "validation_loss":
            return observation.validation_loss
        return observation.validation_accuracy

    def is_better(self, value: float, best: float | None) -> bool:
        """Say whether a value improves on the best so far; None is none so far.

        A value that is not finite never does: as the best it could not be improved upon.
        """
        if not math.isfinite(value):
            return False
        if best is None:
            return True
        if self._relative:
            return self._sign * value < self._sign * (best * (1 - self._sign * self._threshold))
        return self._sign * value < self._sign * (best - self._sign * self._threshold)
