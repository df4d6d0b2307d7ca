"""Feedback policies: they watch the run and move their own factor on top of the schedule.

Each is a class whose keyword arguments are the spec's `args`, with a pure `decide`: what it
observes, its equation, its source and when not to use it stand in its docstring.
"""

from collections.abc import Callable, Mapping

from rheostat_policies.api import Policy
from rheostat_policies.feedback.loss_spike import LossSpike

POLICIES: Mapping[str, Callable[..., Policy]] = {"loss_spike": LossSpike}
"""Policy types by the name a spec uses; others come by entry point or `module:attribute`."""

__all__ = ["POLICIES", "LossSpike"]
