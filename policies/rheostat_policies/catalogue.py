"""The built-in names: what a spec may write without a module path."""

from collections.abc import Callable, Mapping

from rheostat_policies.api import Policy
from rheostat_policies.loss_spike import LossSpike
from rheostat_policies.schedules import (
    Curve,
    OneCycleLR,
    StepLR,
    constant,
    warmup_cosine,
)

SCHEDULES: Mapping[str, Callable[..., Curve]] = {
    "OneCycleLR": OneCycleLR,
    "StepLR": StepLR,
    "constant": constant,
    "warmup_cosine": warmup_cosine,
}
"""Schedule types by the name a spec uses; others come by entry point or `module:attribute`."""

POLICIES: Mapping[str, Callable[..., Policy]] = {"loss_spike": LossSpike}
"""Policy types by the name a spec uses; others come by entry point or `module:attribute`."""
