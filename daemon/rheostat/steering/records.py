"""The records that cross rooms: what was asked, what was decided, and how an LR came about.

All are frozen msgspec structs, so that the same value is a Python object here, a message on the
link, a row in the store and a line of JSON for a script.
"""

from enum import StrEnum

import msgspec


class Verb(StrEnum):
    """What an operator can wish for."""

    SCALE = "scale"
    """Multiply the LR by `value` from now on."""
    RAMP = "ramp"
    """Bring the LR to `value` over `steps` steps, geometrically, with the schedule beneath."""
    SET = "set"
    """Make the LR `value` now and let the schedule's shape go on from there."""
    HOLD = "hold"
    """Keep the LR at `value` until released or expired, whatever schedule and policies say."""
    RELEASE = "release"
    """End a hold; where nothing is held, drop every scale, ramp and set."""


class Change(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One operator's wish: a request to change the LR of some groups of a run."""

    verb: Verb
    value: float | None = None
    """The factor of `scale`, else an LR; None for `release` only."""
    steps: int | None = None
    """Length of a `ramp` in optimizer steps, >= 1; None for the other verbs."""
    groups: tuple[str, ...] = ()
    """Names of the groups it is for; empty means all."""
    at_step: int | None = None
    """Not before this step; None is as soon as possible."""
    expires_after_steps: int | None = None
    """Undo it after it has acted for this many steps, >= 1; None is never."""
    reason: str = ""
    """Why, in the asker's words; kept in the decision record."""
    request_id: str = ""
    """Idempotency key, unique within a run: a repeated request is answered, not repeated."""
    expected_revision: int | None = None
    """Refuse if the run is at another revision when the request arrives; None is any."""
    dry_run: bool = False
    """Only say what it would do at the next step, whatever its `at_step`; nothing is recorded."""
    principal: str = ""
    """Who asks; filled in by the daemon, never by the caller."""
    requested_at: float = 0.0
    """When the daemon received it, seconds since the epoch; filled in by the daemon too."""


class GroupChange(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision did to one group, and how its new LR is made up.

    `new = guard(hold if held else base * (product of factors * operator))`, in that order.
    """

    name: str
    old: float
    """LR in the optimizer before the decision."""
    new: float
    """LR in the optimizer from the applied step on."""
    base: float
    """The schedule's LR at the applied step, with the group's `lr_scale`."""
    factors: dict[str, float] = {}
    """Each policy's factor at the applied step."""
    operator: float = 1.0
    """Product of the operators' scales, sets and ramps at the applied step."""
    hold: float | None = None
    """The LR an operator holds the group at; None where nobody does."""
    guardrails: tuple[str, ...] = ()
    """Names of the guardrails that bent the result, in the order they acted."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What was applied, by whom and why: one line of a run's history.

    Written when a source other than the schedule's own movement changes something.
    """

    revision: int
    """Counts a run's decisions from 1, without gaps; 0 is a run nobody has touched."""
    applied_step: int
    """Index of the first optimizer step that used the new LRs."""
    source: str
    """`operator`, `policy:<name>`, `guardrail`, or `expiry`."""
    groups: tuple[GroupChange, ...]
    verb: str = ""
    """The operator's verb; empty for other sources."""
    value: float | None = None
    """The number that came with the verb, or the factor a policy asked for."""
    principal: str = ""
    """Who asked; empty for other sources than operators."""
    reason: str = ""
    request_id: str = ""
    time: float = 0.0
    """Wall clock of the decision, seconds since the epoch."""
    requested_at: float = 0.0
    """When the daemon received the request, seconds since the epoch; 0 where nobody asked."""

    @property
    def guardrails(self) -> tuple[str, ...]:
        """Every guardrail that touched any group, once each, in order of first touch."""
        return tuple(dict.fromkeys(rule for group in self.groups for rule in group.guardrails))


class DecisionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A decision as it stands in the store, chained to the one before it."""

    run: str
    decision: Decision
    previous_hash: str
    """Hash of the record before; 64 zeros for a run's first."""
    hash: str
    """SHA-256 over the previous hash and this record's canonical JSON, in hex."""


class GroupState(msgspec.Struct, frozen=True, kw_only=True):
    """How the LR of one group comes about at one step."""

    name: str
    learning_rate: float
    """What the optimizer holds."""
    base: float
    factors: dict[str, float]
    operator: float
    hold: float | None = None
    guardrails: tuple[str, ...] = ()
    momentum: float | None = None
    """The momentum (or beta1) a schedule asks for; None where it asks for none."""
