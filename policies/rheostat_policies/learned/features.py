"""What a learned policy sees: named features of an observation and of the steps before it.

A policy file lists the features its network was trained on, in their order. A name stands for one
definition for ever: a better one gets another name.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rheostat_policies.api import OBSERVABLE, Observation
from rheostat_policies.learned.summary import Summary

Rows = NDArray[np.float32]
"""(groups, features): what the network is shown, one row per param group."""

_SMALLEST = 1e-12
"""Stands for everything smaller where a logarithm is taken."""
LARGEST = 1e30
"""Stands for everything larger, and with its sign for everything lower: float32 can hold it."""


@dataclass(frozen=True, slots=True)
class View:
    """All there is to see at a decision, for one group."""

    observation: Observation
    summary: Summary
    """Of the window up to and with that observation."""
    group: str


def _progress(view: View) -> float:
    """Share of the planned steps that are done."""
    return (view.observation.step + 1) / max(1, view.observation.steps)


def _train_loss(view: View) -> float:
    """Mean train loss of the window."""
    return float(view.summary["loss"])


def _validation_loss(view: View) -> float:
    """Newest validation loss."""
    return _or_zero(view.observation.validation_loss)


def _prediction_variance(view: View) -> float:
    """Variance of the validation outputs."""
    return _or_zero(view.observation.prediction_variance)


def _prediction_change_variance(view: View) -> float:
    """Variance of their change since the validation before; 0 at the first."""
    return _or_zero(view.observation.prediction_change_variance)


def _output_weight_mean(view: View) -> float:
    """Mean of the output layer's weights."""
    return _or_zero(view.observation.output_weight_mean)


def _output_weight_variance(view: View) -> float:
    """Variance of the output layer's weights."""
    return _or_zero(view.observation.output_weight_variance)


def _learning_rate(view: View) -> float:
    """LR the group had in the last step."""
    learning_rates = view.observation.learning_rate
    return learning_rates.get(view.group, 0.0)


def _log_train_loss(view: View) -> float:
    """Logarithm of the window's mean train loss."""
    return _log(view.summary["loss"])


def _train_loss_drop(view: View) -> float:
    """Logarithm of the first window's mean train loss over this one's; 0 in the first."""
    return _ratio(view.summary["first_loss"], view.summary["loss"])


def _train_loss_fall(view: View) -> float:
    """Logarithm of the mean train loss of the window before over this one's; 0 in the first."""
    return _ratio(view.summary["loss_before"], view.summary["loss"])


def _train_loss_trend(view: View) -> float:
    """Logarithm of the fast moving average of the train loss over the slow one."""
    return _ratio(view.summary["fast"], view.summary["slow"])


def _train_loss_noise(view: View) -> float:
    """Standard deviation of the train loss in the window over its mean, 1 at the most."""
    summary = view.summary
    if summary["steps"] < 2:
        return 0.0
    mean: float = summary["loss"]
    variance: float = summary["loss_squares"] / (summary["steps"] - 1)
    return min(1.0, math.sqrt(max(0.0, variance)) / max(abs(mean), _SMALLEST))


def _log_gradient_norm(view: View) -> float:
    """Logarithm of the window's mean gradient norm."""
    return _log(view.summary["norm"]) if view.summary["norms"] else 0.0


def _gradient_norm_rise(view: View) -> float:
    """Logarithm of the window's mean gradient norm over that of the window before."""
    return _ratio(view.summary["norm"], view.summary["norm_before"])


def _generalization_gap(view: View) -> float:
    """Logarithm of the newest validation loss over the window's mean train loss; 0 before one."""
    return _ratio(view.observation.validation_loss, view.summary["loss"])


def _log_base(view: View) -> float:
    """Logarithm of the group's base LR over the highest that it had so far."""
    base = view.observation.base.get(view.group)
    return _ratio(base, view.summary["peak"].get(view.group))


def _log_factor(view: View) -> float:
    """Logarithm of the group's present factor."""
    return _ratio(view.observation.factor.get(view.group), 1.0)


def _log_gradient_share(view: View) -> float:
    """Logarithm of the group's gradient norm over that of all groups, in the last step."""
    norms = view.observation.group_gradient_norm
    return _ratio(norms.get(view.group), math.hypot(*norms.values()) if norms else None)


def _log(value: float) -> float:
    return math.log(max(value, _SMALLEST)) if math.isfinite(value) else 0.0


def _ratio(above: float | None, below: float | None) -> float:
    """Return the logarithm of a ratio, 0 where a part of it is not known."""
    return 0.0 if above is None or below is None else _log(above) - _log(below)


def _or_zero(value: float | None) -> float:
    return 0.0 if value is None else value


FEATURES: Mapping[str, Callable[[View], float]] = {
    function.__name__.removeprefix("_"): function
    for function in (
        _generalization_gap,
        _gradient_norm_rise,
        _learning_rate,
        _log_base,
        _log_factor,
        _log_gradient_norm,
        _log_gradient_share,
        _log_train_loss,
        _output_weight_mean,
        _output_weight_variance,
        _prediction_change_variance,
        _prediction_variance,
        _progress,
        _train_loss,
        _train_loss_drop,
        _train_loss_fall,
        _train_loss_noise,
        _train_loss_trend,
        _validation_loss,
    )
}
"""Every feature by its name."""

XU2019 = (
    "train_loss",
    "validation_loss",
    "prediction_variance",
    "prediction_change_variance",
    "output_weight_mean",
    "output_weight_variance",
    "learning_rate",
)
"""The seven observations of Xu et al. (arXiv 1909.09712), as in their public code."""

ANCHORED = (
    "progress",
    "log_train_loss",
    "train_loss_drop",
    "train_loss_fall",
    "train_loss_trend",
    "train_loss_noise",
    "log_gradient_norm",
    "gradient_norm_rise",
    "generalization_gap",
    "log_base",
    "log_factor",
    "log_gradient_share",
)
"""What a controller on top of a base schedule sees by default: ratios and logarithms, so that a
task of another scale looks alike."""

_COSTLY = {
    "gradient_norm_rise": "gradient_norm",
    "log_gradient_norm": "gradient_norm",
    "log_gradient_share": "group_gradient_norm",
}
"""Fields of an `Observation` that are measured on demand, by the feature that needs them."""


_VALIDATED = {
    "generalization_gap",
    "output_weight_mean",
    "output_weight_variance",
    "prediction_change_variance",
    "prediction_variance",
    "validation_loss",
}
"""Features that are as fresh as the newest validation."""


def needs_validation(features: Iterable[str]) -> bool:
    """Whether what these features see depends on when the run is validated."""
    return not _VALIDATED.isdisjoint(features)


def observed_by(features: Iterable[str]) -> tuple[str, ...]:
    """Return the fields of an `Observation` that a policy with these features `observes`."""
    fields = {_COSTLY.get(name, name) for name in features}
    return tuple(field for field in OBSERVABLE if field in fields)


def rows_of(
    features: Sequence[str], observation: Observation, summary: Summary, groups: Sequence[str]
) -> Rows:
    """Return what the network is shown at a decision: (groups, features), all of it finite."""
    functions = [FEATURES[name] for name in features]
    views = [View(observation, summary, group) for group in groups]
    rows = [[_bounded(function(view)) for function in functions] for view in views]
    return np.array(rows, dtype=np.float32).reshape(len(views), len(functions))


def _bounded(value: float) -> float:
    if math.isnan(value):
        return 0.0
    return min(LARGEST, max(-LARGEST, value))
