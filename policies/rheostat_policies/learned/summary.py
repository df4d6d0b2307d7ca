"""What a learned policy remembers of a run between two of its decisions."""

import math
from collections.abc import Mapping
from typing import Any

from rheostat_policies.api import Observation

FAST, SLOW = 0.9, 0.99
"""Decays, per step, of the moving averages of the train loss."""

Summary = dict[str, Any]
"""A JSON-able state; `note` returns a new one rather than changing the old."""


def nothing_yet() -> Summary:
    """Return the summary before the first step."""
    return {
        "window": None,
        "steps": 0,
        "loss": 0.0,
        "loss_squares": 0.0,
        "norm": 0.0,
        "norms": 0,
        "fast": None,
        "slow": None,
        "loss_before": None,
        "norm_before": None,
        "first_loss": None,
        "peak": {},
    }


def note(summary: Summary, observation: Observation) -> Summary:
    """Return the summary with the data of one more step; what is not finite is left out.

    Within a window, the losses have a mean and a sum of squared deviations (Welford's recurrence);
    beyond it there are moving averages, the first window's mean, and each group's highest base LR.
    """
    now = dict(summary)
    loss = observation.train_loss
    if math.isfinite(loss):
        steps = now["steps"] + 1
        ahead = loss - now["loss"]
        mean = now["loss"] + ahead / steps
        squares = now["loss_squares"] + ahead * (loss - mean)
        if math.isfinite(squares):
            now["steps"], now["loss"], now["loss_squares"] = steps, mean, squares
            now["fast"] = _averaged(now["fast"], loss, FAST)
            now["slow"] = _averaged(now["slow"], loss, SLOW)
    norm = observation.gradient_norm
    if norm is not None:
        mean = now["norm"] + (norm - now["norm"]) / (now["norms"] + 1)
        if math.isfinite(mean):
            now["norm"], now["norms"] = mean, now["norms"] + 1
    if any(base > now["peak"].get(name, 0.0) for name, base in observation.base.items()):
        now["peak"] = _raised(now["peak"], observation.base)
    return now


def is_due(summary: Summary, step: int, every: int) -> bool:
    """Whether a window of `every` steps has ended with a step.

    By the step and not by counting: a policy that answers over the network may miss some.
    """
    before = summary["window"]
    return bool((step + 1) // every != (step // every if before is None else before))


def next_window(summary: Summary, step: int, every: int) -> Summary:
    """Return the summary at the beginning of the window that follows a step."""
    now = dict(summary)
    now["window"] = (step + 1) // every
    if now["steps"]:
        now["loss_before"] = now["loss"]
        if now["first_loss"] is None:
            now["first_loss"] = now["loss"]
    if now["norms"]:
        now["norm_before"] = now["norm"]
    now["steps"] = now["norms"] = 0
    now["loss"] = now["loss_squares"] = now["norm"] = 0.0
    return now


def _averaged(average: float | None, value: float, decay: float) -> float:
    return value if average is None else decay * average + (1 - decay) * value


def _raised(peak: Mapping[str, float], base: Mapping[str, float]) -> dict[str, float]:
    finite = {name: lr for name, lr in base.items() if math.isfinite(lr)}
    return {**peak, **{name: max(lr, peak.get(name, 0.0)) for name, lr in finite.items()}}
