"""Schedules: pure functions of the step that give a group's base learning rate.

Each is a closed form, so it can be asked for any step in any order, and nothing can drift. They
carry the names and argument names of the libraries they come from, and count in optimizer steps.
"""

from collections.abc import Callable, Mapping

from rheostat_policies.schedules.api import Curve, Schedule, ScheduleRun
from rheostat_policies.schedules.constant import constant
from rheostat_policies.schedules.one_cycle import OneCycleLR
from rheostat_policies.schedules.step import StepLR
from rheostat_policies.schedules.warmup_cosine import warmup_cosine

SCHEDULES: Mapping[str, Callable[..., Curve]] = {
    "OneCycleLR": OneCycleLR,
    "StepLR": StepLR,
    "constant": constant,
    "warmup_cosine": warmup_cosine,
}
"""Schedule types by the name a spec uses; others come by entry point or `module:attribute`."""

__all__ = [
    "SCHEDULES",
    "Curve",
    "OneCycleLR",
    "Schedule",
    "ScheduleRun",
    "StepLR",
    "constant",
    "warmup_cosine",
]
