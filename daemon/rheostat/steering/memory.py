"""Everything steering remembers, as plain data: what a checkpoint holds of it.

Floats are kept to the last bit, NaN and infinities too, so this is not for JSON encoders that turn
those into null.
"""

from typing import Any

import msgspec

from rheostat.steering.motion import Motion
from rheostat.steering.operator import Hold, Term
from rheostat.steering.records import PolicyEdit, RemoteTerms
from rheostat_policies import Probe
from rheostat_policies.schedules.segments import Rewarming


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """The base of every part."""


class SegmentMemory(Memory, frozen=True):
    """A `Segment` without its curve, which follows from it."""

    schedule: dict[str, Any] | None
    """A `ScheduleSpec`; None is the spec's own."""
    steps: int | None
    origin: int
    level: float
    reference: float
    rewarmings: tuple[Rewarming, ...]
    since: int
    revisions: tuple[int, ...]


class OperatorMemory(Memory, frozen=True):
    """An `Operator`."""

    settled: float
    settled_revisions: tuple[int, ...]
    terms: tuple[Term, ...]
    hold: Hold | None
    value: float
    is_moving: bool


class GroupMemory(Memory, frozen=True):
    """A `Group`."""

    name: str
    segment: SegmentMemory
    operator: OperatorMemory
    factors: dict[str, float]
    shadows: tuple[str, ...]
    leaving: tuple[str, ...]
    factor_motions: dict[str, Motion]
    factor_revisions: dict[str, int]
    gain: float
    is_moving: bool
    base: float
    learning_rate: float
    momentum: float | None
    touched: tuple[str, ...]
    previous: float
    changed_at: int | None
    guardrails: dict[str, Any]
    """What each rule that has a memory remembers, by its name."""


class PolicyMemory(Memory, frozen=True):
    """A policy and how it has behaved."""

    name: str
    edit: PolicyEdit | None
    """What it was attached with while the run trained; None where it is the spec's, or remote."""
    remote: RemoteTerms | None
    """How it takes part if it answers over the network; None where it runs inside."""
    is_shadow: bool
    factors: dict[str, float]
    state: str
    """Of one that runs inside, JSON as Python writes it; empty for a remote one."""
    is_connected: bool
    """Of a remote one; true for one that runs inside."""
    relaxes_at: int | None
    outcomes: dict[str, int]
    last_failure: str
    is_benched: bool
    is_told_benched: bool
    in_a_row: int
    probe: Probe | None = None
    """What it wants tried out before the step begun."""


class SteeringMemory(Memory, frozen=True):
    """A `Steering` between two boundaries: after `settle`, before the next `advance`."""

    step: int
    steps: int
    revision: int
    learning_rates: tuple[float, ...]
    groups: tuple[GroupMemory, ...]
    policies: tuple[PolicyMemory, ...]
    change_times: tuple[float, ...]
    """When the newest operators' changes were made, as far as their pace is limited."""
    interventions: dict[str, int]
    is_bent: bool
    touched_before: tuple[tuple[str, ...], ...]
    skipped: int = 0
