"""Feedback policies: they watch the run and move their own factor on top of the schedule.

Each is a class whose keyword arguments are the spec's `args`, with a pure `decide`: what it
observes, its equation, its source and when not to use it stand in its docstring. Beside them lives
what several share or one is made of: bounds, a metric, a slope, a forecast, a Gaussian
process, a rule, a condition.
"""

from collections.abc import Callable, Mapping

from rheostat_policies.api import Policy
from rheostat_policies.feedback.adalrs import AdaLRS
from rheostat_policies.feedback.autolrs import AutoLRS
from rheostat_policies.feedback.greedy import Greedy
from rheostat_policies.feedback.hypergradient import Hypergradient
from rheostat_policies.feedback.kl_band import KLBand
from rheostat_policies.feedback.learned import Learned
from rheostat_policies.feedback.loss_spike import LossSpike
from rheostat_policies.feedback.noise_scale import NoiseScale
from rheostat_policies.feedback.plateau import Plateau
from rheostat_policies.feedback.rules import Rules

POLICIES: Mapping[str, Callable[..., Policy]] = {
    "adalrs": AdaLRS,
    "autolrs": AutoLRS,
    "greedy": Greedy,
    "hypergradient": Hypergradient,
    "kl_band": KLBand,
    "learned": Learned,
    "loss_spike": LossSpike,
    "noise_scale": NoiseScale,
    "plateau": Plateau,
    "rules": Rules,
}
"""Policy types by the name a spec uses; others come by entry point or `module:attribute`."""

__all__ = [
    "POLICIES",
    "AdaLRS",
    "AutoLRS",
    "Greedy",
    "Hypergradient",
    "KLBand",
    "Learned",
    "LossSpike",
    "NoiseScale",
    "Plateau",
    "Rules",
]
