"""The ground floor: what an LR schedule or policy is, and those that come with Rheostat.

Only the standard library and numpy are imported here, so that a policy can be tested, shared and
replayed without torch, gRPC or a daemon. Authors of new policies need nothing but this package.
"""

from typing import TYPE_CHECKING, Any

from rheostat_policies import feedback
from rheostat_policies.api import (
    KEEP,
    MAX_PROBE_FACTORS,
    MAX_PROBE_STEPS,
    Action,
    GroupInfo,
    Observation,
    Policy,
    Probe,
    ProbeResult,
    Restore,
    RunInfo,
    State,
)
from rheostat_policies.feedback import POLICIES
from rheostat_policies.schedules import (
    SCHEDULES,
    Curve,
    OneCycleLR,
    Schedule,
    ScheduleRun,
    StepLR,
    constant,
    warmup_cosine,
)

if TYPE_CHECKING:
    from rheostat_policies.feedback import (
        AdaLRS,
        AutoLRS,
        Greedy,
        Hypergradient,
        KLBand,
        Learned,
        LossSpike,
        NoiseScale,
        Plateau,
        Rules,
    )

__all__ = [
    "KEEP",
    "MAX_PROBE_FACTORS",
    "MAX_PROBE_STEPS",
    "POLICIES",
    "SCHEDULES",
    "Action",
    "AdaLRS",
    "AutoLRS",
    "Curve",
    "Greedy",
    "GroupInfo",
    "Hypergradient",
    "KLBand",
    "Learned",
    "LossSpike",
    "NoiseScale",
    "Observation",
    "OneCycleLR",
    "Plateau",
    "Policy",
    "Probe",
    "ProbeResult",
    "Restore",
    "Rules",
    "RunInfo",
    "Schedule",
    "ScheduleRun",
    "State",
    "StepLR",
    "constant",
    "warmup_cosine",
]

if not TYPE_CHECKING:  # a type checker would take any name for one of ours

    def __getattr__(name: str) -> Any:
        if name in feedback.__all__:
            return getattr(feedback, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
