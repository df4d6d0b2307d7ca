"""The records that cross rooms: what was asked, what was decided, and how an LR came about.

All are frozen msgspec structs, so that the same value is a Python object here, a message on the
link, a row in the store and a line of JSON for a script.
"""

from enum import StrEnum

import msgspec


class Verb(StrEnum):
    """What an operator can wish for: of the LR itself, of the schedule, or of a policy."""

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

    SWAP = "swap"
    """Let another schedule give the base LR from now on."""
    HORIZON = "horizon"
    """Plan another number of steps for the run, and fit its schedules to it."""
    COOLDOWN = "cooldown"
    """Let the base LR fall from where it is, over some steps or what is left of the run."""
    REWARM = "rewarm"
    """Let the base LR rise from a share of the schedule's to all of it, over some steps."""

    ATTACH = "attach"
    """Add a policy, whose factor is 1."""
    DETACH = "detach"
    """Remove a policy, and its factor with it."""
    SHADOW = "shadow"
    """Let a policy decide without effect: its factor is computed and shown, not applied."""
    ENGAGE = "engage"
    """Let the factor of a policy in shadow act, as it stands."""
    REVIVE = "revive"
    """Ask a policy again that was benched."""


SCHEDULE_VERBS = frozenset({Verb.SWAP, Verb.HORIZON, Verb.COOLDOWN, Verb.REWARM})
"""Verbs whose wish is a `ScheduleEdit`."""
POLICY_VERBS = frozenset({Verb.ATTACH, Verb.DETACH, Verb.SHADOW, Verb.ENGAGE, Verb.REVIVE})
"""Verbs whose wish is a `PolicyEdit`."""


class ScheduleEdit(msgspec.Struct, frozen=True, kw_only=True):
    """What is wished for the schedule; each verb has its own fields."""

    schedule: str = ""
    """`swap`: name of the new schedule, as in a spec."""
    args: str = ""
    """`swap`: its arguments, a JSON object; empty is none."""
    steps: int | None = None
    """`horizon`: planned steps of the whole run. `cooldown`: length of the fall, by default what is
    left of the run. `rewarm`: length of the rise."""
    rescale: bool = True
    """`swap` and `horizon`: whether to scale the new curve so that the LR goes on from where it
    is."""
    ratio: float | None = None
    """`cooldown`: where the fall ends, `rewarm`: where the rise starts, as a share of the LR,
    0 to 1; 0 by default."""
    shape: str = ""
    """`cooldown`: `1-sqrt` (the default), `linear` or `cosine`."""


class RemoteTerms(msgspec.Struct, frozen=True, kw_only=True):
    """How a policy that answers over the network takes part in a run."""

    mode: str = "async"
    """`async`: an answer acts at the first step boundary after its arrival. `lockstep`: the step
    waits for the answer, but no longer than `deadline`."""
    deadline: float | None = None
    """Seconds after which an answer comes too late and is dropped; required for `lockstep`, where
    None elsewhere is never."""
    every: int = 1
    """Steps from one observation to the next, >= 1."""
    observes: tuple[str, ...] = ()
    """Costly fields of an `Observation` that it needs."""
    hold_steps: int = 100
    """Steps that its factor stays as it is once the policy has vanished."""
    relax_steps: int = 100
    """Steps in which the factor then goes back to 1; 0 is never."""


class PolicyEdit(msgspec.Struct, frozen=True, kw_only=True):
    """What is wished for a policy."""

    policy: str
    """Its name: of a built-in, an entry point, `package.module:Class`, or a remote one's own."""
    args: str = ""
    """`attach`: its arguments, a JSON object; empty is none."""
    shadow: bool = False
    """`attach`: whether it starts in shadow."""
    ramp_steps: int = 1
    """`detach`: steps in which its factor goes to 1, geometrically; 1 is at once."""
    remote: RemoteTerms | None = None
    """`attach`: how it takes part if it answers over the network; None where it runs inside."""


class Change(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One operator's wish: a request to change the LR of some groups of a run, or what makes it."""

    verb: Verb
    value: float | None = None
    """The factor of `scale`, the LR of `ramp`, `set` and `hold`; None for the other verbs."""
    steps: int | None = None
    """Length of a `ramp` in optimizer steps, >= 1; None for the other verbs."""
    edit: ScheduleEdit | None = None
    """What is wished for the schedule; None for other verbs."""
    policy: PolicyEdit | None = None
    """What is wished for a policy; None for other verbs."""
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
    approved_by: str = ""
    """The second principal, where the change takes one; filled in by the daemon."""


class PolicyWish(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy asked for, as far as it takes to do it again."""

    factors: dict[str, float]
    """Where its factors were to go, by group; those of groups that cooled down stayed."""
    ramp_steps: int
    """Steps on the way there, >= 1."""


class RollbackEdit(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run went back to, and what of the way from there it leaves out.

    Every decision after `to_revision` and before this one is undone: it stays in the history, and
    acts no more.
    """

    from_step: int
    """Number of finished steps that the run had come to."""
    to_step: int
    """Number of finished steps of the checkpoint that it went back to."""
    to_revision: int
    """That of the checkpoint."""
    steps: int
    """Planned steps of the run, as they were there; 0 where its script does not say."""
    skip: int = 0
    """Batches left out from there on, >= 0."""
    policy: str = ""
    """Name of the policy that wanted it; empty where a person did."""
    state: str = ""
    """State that this policy goes on with, as JSON; it does not go back."""


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
    """`operator`, `policy:<name>`, `guardrail`, `expiry`, or `rollback`."""
    groups: tuple[GroupChange, ...]
    verb: str = ""
    """What was done: an operator's verb, what expired, or `bench`, `vanish` and `relax` of a
    policy; empty where a policy or a guardrail merely moved an LR."""
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
    edit: ScheduleEdit | None = None
    """What was done to the schedule; None for other verbs."""
    policy: PolicyEdit | None = None
    """What was done to a policy; None for other verbs."""
    steps: int | None = None
    """Length of an operator's `ramp` in optimizer steps; None for the other verbs."""
    expires_after_steps: int | None = None
    """Steps after which an operator's wish is undone; None is never."""
    wish: PolicyWish | None = None
    """What a policy asked for; None for other sources, and where it did not ask."""
    approved_by: str = ""
    """The second principal, where the change took one; else empty."""
    rollback: RollbackEdit | None = None
    """Where the run went back to; None for other sources."""

    @property
    def guardrails(self) -> tuple[str, ...]:
        """Every guardrail that touched any group, once each, in order of first touch."""
        return tuple(dict.fromkeys(rule for group in self.groups for rule in group.guardrails))


class Offence(msgspec.Struct, frozen=True, kw_only=True):
    """An answer of a policy inside the trainer that came too late by the clock, and was dropped.

    It is told because no replay could find out: there it must be dropped again.
    """

    policy: str
    step: int
    """That of the observation it should have answered."""
    outcome: str
    """`slow` where it answered in the end, `failed` where it was interrupted."""
    reason: str = ""
    """What is told of it."""


class DecisionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A decision as it stands in the store, chained to the one before it."""

    run: str
    decision: Decision
    previous_hash: str
    """Hash of the record before; 64 zeros for a run's first."""
    hash: str
    """SHA-256 over the previous hash and this record's canonical JSON, in hex."""


class PolicyStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Where one policy of a run stands."""

    name: str
    shadow: bool = False
    """Whether it decides without effect."""
    benched: bool = False
    """Whether it has offended too often and is not asked any more."""
    mode: str = ""
    """`async` or `lockstep` of a remote policy; empty where it runs inside the trainer."""
    connected: bool | None = None
    """Whether a remote policy is there; None where it runs inside."""
    outcomes: dict[str, int] = {}
    """Answers so far: `kept`, `changed`, `failed`, `slow`, `late`, and `missed` where none came."""
    failure: str = ""
    """What the newest offence was; empty while there was none."""
    factors: dict[str, float] = {}
    """Its factor by group, as it was last told to it."""


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
    shadows: dict[str, float] = {}
    """The LR that each policy in shadow would have given, within the absolute bounds."""


class Components(msgspec.Struct, frozen=True, kw_only=True):
    """How the LRs of all groups come about from a step on, until something moves them again."""

    revision: int
    """That of the newest decision they contain."""
    in_force: tuple[int, ...]
    """Revisions of the decisions that act on them, oldest first."""
    groups: tuple[GroupState, ...]
