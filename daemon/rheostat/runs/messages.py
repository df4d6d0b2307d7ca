"""What daemon and trainer say to each other over their UNIX socket.

Typed structs, msgpack-encoded, each behind a 4-byte length (`frames.py`). A message never answers
another except where it carries a `command_id`. Times are seconds, steps count from 0.
"""

import msgspec

from rheostat.runs.checkpoints import CheckpointInfo
from rheostat.runs.records import (
    Failure,
    FieldViolation,
    GroupDescription,
    Result,
    Snapshot,
    StepRows,
)
from rheostat.steering.records import Change, Decision, Offence
from rheostat_policies import Observation


class Message(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The base of every message; the class name is its tag."""


# --- daemon to trainer -------------------------------------------------------------------------


class ChangeCommand(Message, frozen=True):
    """Apply a change at the next boundary at or after its `at_step`, then send `Applied`."""

    command_id: int
    change: Change


class PolicyAnswer(Message, frozen=True):
    """What a remote policy answers to the observation of a step."""

    policy: str
    step: int
    factor: float | dict[str, float] | None = None
    """As in an `Action`; None keeps the old one."""
    ramp_steps: int = 1
    reason: str = ""


class PolicyVanished(Message, frozen=True):
    """The connection of a remote policy is gone."""

    policy: str


class PauseCommand(Message, frozen=True):
    """Stop before the next step and wait."""


class ResumeCommand(Message, frozen=True):
    """Go on after a pause."""


class StopCommand(Message, frozen=True):
    """End the run at the next boundary, validated and saved as if that were its last step."""


class Welcome(Message, frozen=True):
    """The answer to a Hello: what of the run is on the disk, so that the rest can be sent again."""

    revision: int
    """That of the newest durable decision."""
    next_row: int
    """The first step whose row is not durable."""


class Acknowledged(Message, frozen=True):
    """More has become durable; the trainer may forget it."""

    revision: int
    next_row: int


class Released(Message, frozen=True):
    """The trainer's last words are durable; it may exit."""


class SaveCommand(Message, frozen=True):
    """Take a checkpoint at the boundary where this arrives, then send `Saved` or `SaveFailed`."""

    command_id: int
    pin: bool = False
    """Whether to keep it until somebody removes it."""


class RollbackCommand(Message, frozen=True):
    """Go back to a checkpoint at the boundary where this arrives, then send `Applied`.

    Neither `step` nor `back_steps` is the newest good one.
    """

    command_id: int
    step: int | None = None
    """The newest good one of at most so many finished steps."""
    back_steps: int | None = None
    """The newest good one that is at least so many steps old."""
    skip: int = 0
    """Batches to leave out from there on, >= 0."""
    rewarm_steps: int = 0
    """Steps in which the LR rises from 0 again; 0 is not to."""
    scale: float | None = None
    """What to multiply the LR by from there on; None is not to."""
    principal: str = ""
    reason: str = ""
    request_id: str = ""
    requested_at: float = 0.0


class EvaluateCommand(Message, frozen=True):
    """Look at the validation set at the boundary where this arrives, then send `Evaluated`.

    Nothing of the training depends on it: policies do not see what it finds.
    """

    command_id: int


class ProbeCommand(Message, frozen=True):
    """Try LRs at the boundary where this arrives, then send `Probed`; the run does not notice."""

    command_id: int
    learning_rates: tuple[float, ...]
    steps: int
    """Of each trial."""
    groups: tuple[str, ...] = ()
    """Those that have the LR; empty means all."""


# --- trainer to daemon -------------------------------------------------------------------------


class Hello(Message, frozen=True):
    """First message of a connection: who I am. Nothing else is said before the Welcome."""

    run: str
    token: str
    """The secret that the run's trainers prove themselves with."""
    pid: int
    revision: int = 0
    """That of the newest decision made."""
    step: int = 0
    """Number of finished steps when the state was last told."""
    is_paused: bool = False
    """Whether the loop stands still."""
    lost_rows: int = 0
    """Rows dropped so far because nobody took them for too long."""


class Ready(Message, frozen=True):
    """The model stands and the first step is about to run."""

    steps: int | None
    """Planned optimizer steps; None where an attached script does not say."""
    groups: tuple[GroupDescription, ...]
    device: str
    warnings: tuple[str, ...] = ()
    """Sentences for the person who wrote the spec."""
    step: int = 0
    """Number of steps that a checkpoint has brought along."""


class Telemetry(Message, frozen=True):
    """What happened since the last one: finished steps and the state after them."""

    snapshot: Snapshot
    rows: StepRows | None = None
    policy_durations: dict[str, bytes] = {}
    """Seconds that each answer took since the last time, as doubles, by policy."""


class Decided(Message, frozen=True):
    """Decisions made at one boundary, in order; sent before the step that uses them runs."""

    decisions: tuple[Decision, ...]


class Offended(Message, frozen=True):
    """Answers that were dropped by the clock; sent before the step they were meant for runs."""

    offences: tuple[Offence, ...]


class Kept(Message, frozen=True):
    """A change has passed the door and waits for its `at_step`; its answer is still to come."""

    command_id: int


class Saved(Message, frozen=True):
    """A checkpoint is on the disk, whole."""

    info: CheckpointInfo
    seconds: float
    """From the boundary at which it was taken until it was on the disk."""
    stalled: float
    """Seconds of these in which the loop stood still."""
    command_id: int | None = None
    """Of the command that asked for it; None for one that was due."""


class SaveFailed(Message, frozen=True):
    """A checkpoint could not be written; the older ones are as they were, and the run goes on."""

    message: str
    step: int
    command_id: int | None = None
    """As in `Saved`."""


class Evaluated(Message, frozen=True):
    """The answer to an `EvaluateCommand`."""

    command_id: int
    step: int
    """Number of finished steps."""
    validation_loss: float
    validation_accuracy: float | None = None
    """None where targets are not classes."""


class Probed(Message, frozen=True):
    """The answer to a `ProbeCommand`: what each LR led to, in the order asked for."""

    command_id: int
    step: int
    """Number of finished steps."""
    losses: tuple[tuple[float, ...], ...]
    """As in a `ProbeResult`."""
    used: tuple[dict[str, float], ...]
    """The LR by group, as the guardrails let it be."""
    guardrails: tuple[tuple[str, ...], ...]
    """The rules that bent it."""
    seconds: float
    """In which the run stood still."""
    batches: int = 0
    """How many the loop of an attached script has handed out for it; 0 for a loop of ours, which
    has the same ones in each trial."""


class Warned(Message, frozen=True):
    """Something that whoever looks after the run should know; it goes on."""

    text: str


class Observed(Message, frozen=True):
    """What a remote policy sees at a step boundary."""

    policy: str
    observation: Observation


class Applied(Message, frozen=True):
    """The answer to a command that was carried out; its decision was sent just before."""

    command_id: int
    decision: Decision


class Refused(Message, frozen=True):
    """The answer to a command that was not carried out."""

    command_id: int
    kind: str
    """Class name in `errors.py`."""
    message: str
    violations: tuple[FieldViolation, ...] = ()
    """For InvalidRequest: what is wrong with which field."""


class Paused(Message, frozen=True):
    """The loop stands still before `step`."""

    step: int


class Resumed(Message, frozen=True):
    """The loop goes on at `step`."""

    step: int


class Finished(Message, frozen=True):
    """The run ended well; the trainer exits."""

    result: Result
    stopped: bool
    """Whether a StopCommand ended it before its planned end."""


class Failed(Message, frozen=True):
    """The run ended badly; the trainer exits."""

    failure: Failure


class Unacknowledged(msgspec.Struct, frozen=True, kw_only=True):
    """What a trainer has told and the daemon may not have written down yet.

    A checkpoint holds it, since it holds the steps and decisions that are told here.
    """

    decisions: tuple[Decision, ...] = ()
    offences: tuple[Offence, ...] = ()
    rows: tuple[StepRows, ...] = ()


ToTrainer = (
    ChangeCommand
    | PolicyAnswer
    | PolicyVanished
    | PauseCommand
    | ResumeCommand
    | StopCommand
    | Welcome
    | Acknowledged
    | Released
    | SaveCommand
    | RollbackCommand
    | EvaluateCommand
    | ProbeCommand
)
ToDaemon = (
    Hello
    | Ready
    | Telemetry
    | Decided
    | Offended
    | Kept
    | Saved
    | SaveFailed
    | Evaluated
    | Probed
    | Warned
    | Observed
    | Applied
    | Refused
    | Paused
    | Resumed
    | Finished
    | Failed
)
