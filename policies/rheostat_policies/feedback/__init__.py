"""Feedback policies: they watch the run and move their own factor on top of the schedule.

Each is a class whose keyword arguments are the spec's `args`, with a pure `decide`: what it
observes, its equation, its source and when not to use it stand in its docstring. Beside them lives
what several share or one is made of: bounds, a metric, a slope, a forecast, a Gaussian
process, a rule, a condition.

Each is imported when it is first asked for: some need numpy, and a command line that only names
them does not wait for it.
"""

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rheostat_policies.api import Policy

if TYPE_CHECKING:
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

_CLASSES = {
    "adalrs": "AdaLRS",
    "autolrs": "AutoLRS",
    "greedy": "Greedy",
    "hypergradient": "Hypergradient",
    "kl_band": "KLBand",
    "learned": "Learned",
    "loss_spike": "LossSpike",
    "noise_scale": "NoiseScale",
    "plateau": "Plateau",
    "rules": "Rules",
}
"""Class of each policy by its name, which is its module's, too."""


class _Policies(Mapping[str, Callable[..., Policy]]):
    """The built-in policies by name; each is imported when it is looked up."""

    def __getitem__(self, name: str) -> Callable[..., Policy]:
        written = _CLASSES[name]
        policy: Callable[..., Policy] = getattr(import_module(f"{__name__}.{name}"), written)
        return policy

    def __contains__(self, name: object) -> bool:
        return name in _CLASSES

    def __iter__(self) -> Iterator[str]:
        return iter(_CLASSES)

    def __len__(self) -> int:
        return len(_CLASSES)


POLICIES: Mapping[str, Callable[..., Policy]] = _Policies()
"""Policy types by the name a spec uses; others come by entry point or `module:attribute`."""

if not TYPE_CHECKING:  # a type checker would take any name for one of ours

    def __getattr__(name: str) -> Any:
        for policy, written in _CLASSES.items():
            if name == written:
                return POLICIES[policy]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
