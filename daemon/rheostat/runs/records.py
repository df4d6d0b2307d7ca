"""What the daemon knows of a run: its phase, its newest snapshot, its result."""

from enum import StrEnum

import msgspec

from rheostat.runs.checkpoints import CheckpointInfo
from rheostat.steering.records import Decision, GroupState, PolicyStatus


class Phase(StrEnum):
    """Where a run stands in its life."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def is_final(self) -> bool:
        """Whether nothing happens to the run any more."""
        return self in {Phase.SUCCEEDED, Phase.FAILED, Phase.STOPPED}


TRAINING = (Phase.RUNNING, Phase.PAUSED)
LIVING = (Phase.STARTING, *TRAINING)


class GroupDescription(msgspec.Struct, frozen=True, kw_only=True):
    """One param group as the trainer built it."""

    name: str
    tensors: int
    """Number of parameter tensors."""
    parameters: int
    """Number of trainable scalars."""
    lr: float | None = None
    """The group's own LR; None where it uses the optimizer's times `lr_scale`."""
    lr_scale: float
    names: tuple[str, ...] = ()
    """The parameters, by their names in the model."""
    optimizer: str | None = None
    """Name of the group's own optimizer; None where it uses the run's."""
    args: dict[str, str] = {}
    """The group's own optimizer arguments, each as JSON."""
    schedule: str | None = None
    """Name of the group's own schedule; None where it uses the run's."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The run at one step boundary: replaced as a whole, never changed."""

    step: int
    """Number of finished steps, and so the index of the step that uses these LRs next."""
    revision: int
    """Revision of the newest decision that these LRs contain."""
    groups: tuple[GroupState, ...]
    train_loss: float | None = None
    """Loss of the last finished step."""
    gradient_norm: float | None = None
    """The newest measured total gradient norm, before clipping."""
    validation_loss: float | None = None
    validation_accuracy: float | None = None
    validation_step: int | None = None
    """Number of finished steps at the newest validation."""
    samples: int = 0
    """Training samples seen."""
    loss_scale: float | None = None
    """What float16 multiplied the loss of the newest step by; None in other precisions."""
    skipped_updates: int = 0
    """Updates left out so far because that was too large for the step."""
    steps_per_second: float | None = None
    """Speed over the last twentieth of a second or more; None at the start."""
    guardrail_interventions: dict[str, int] = {}
    """Group-steps bent so far, by guardrail."""
    policies: tuple[PolicyStatus, ...] = ()
    """Where each attached policy stands, in the order they are asked."""
    in_force: tuple[int, ...] = ()
    """Revisions of the decisions that still act on some LR, oldest first."""
    in_memory: tuple[CheckpointInfo, ...] = ()
    """States that the trainer keeps to go back to, oldest first."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended."""

    steps: int
    """Finished steps."""
    train_loss: float | None = None
    validation_loss: float | None = None
    validation_accuracy: float | None = None
    weights: str = ""
    """Path of the final weights (safetensors); empty when none were written."""


class FieldViolation(msgspec.Struct, frozen=True, kw_only=True):
    """One mistake in a spec that only the trainer could see."""

    field: str
    value: str
    expected: str


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run failed."""

    message: str
    """One line for a person."""
    kind: str = ""
    """Class of the exception that ended the trainer; empty where it could not say."""
    traceback: str = ""
    """The trainer's traceback, or the end of its output when it died without one."""
    violations: tuple[FieldViolation, ...] = ()
    """What is wrong with the spec, when that is why."""


class RunEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a run besides its steps and decisions."""

    time: float
    """Seconds since the epoch."""
    kind: str
    """`restarted`, `adopted`, `suspended`, `checkpoint_refused`, `checkpoint_failed`, `rows_lost`,
    `rolled_back`, `halted`, `waiting` or `warned`."""
    message: str
    """One line for a person."""


STEERING = "steering"
"""Schedule, policies and overrides."""
OPTIONS = "options"
"""Those of the optimizer's groups, such as a weight decay."""
GENERATORS = "generators"
"""Of random numbers."""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """The run that another one was made from."""

    run: str
    """Its name."""
    kind: str
    """`fork`: it goes another way from a step on. `replay`: it does the same again."""
    step: int = 0
    """Number of finished steps that the two have in common; 0 where there was no checkpoint."""
    revision: int = 0
    """Of the newest decision that a fork has in common with it."""
    until: int | None = None
    """Number of finished steps at which a replay ends; None for a fork."""
    anew: tuple[str, ...] = ()
    """What a fork does not take over from the checkpoint but has from its own spec: `STEERING`,
    `OPTIONS`, `GENERATORS`."""


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the daemon tells about a run."""

    name: str
    phase: Phase
    spec: str
    """The whole spec as JSON, defaults filled in."""
    steps: int | None = None
    """Planned optimizer steps; None until the trainer has counted them, and where an attached
    script does not say."""
    groups: tuple[GroupDescription, ...] = ()
    """Empty until the trainer has built the model."""
    snapshot: Snapshot | None = None
    """None until the first step boundary."""
    revision: int = 0
    result: Result | None = None
    failure: Failure | None = None
    principal: str = ""
    """Who created it."""
    created_at: float = 0.0
    """Seconds since the epoch."""
    started_at: float | None = None
    finished_at: float | None = None
    device: str = ""
    """Where it trains, e.g. `cpu` or `cuda:0`; empty until the trainer says."""
    pid: int | None = None
    """Process id of its trainer while there is one."""
    priority: int = 0
    """Of runs that wait, the one with the highest starts first; 0 by default."""
    queued_at: float = 0.0
    """When it last entered the queue, seconds since the epoch; of equals, the oldest starts."""
    is_paused: bool = False
    """Whether somebody wants it to stand still, whatever its trainer does."""
    attempt: int = 0
    """How many trainers it has had."""
    restarts: dict[str, int] = {}
    """How many of them took the place of one that had died, by reason: `killed`, `exited`, `failed`
    or `lost`, where the daemon that had started it was gone."""
    events: tuple[RunEvent, ...] = ()
    """What happened to it, the newest last; only the newest are kept."""
    origin: Origin | None = None
    """What it was made from; None where it began at nothing."""
    attached: bool = False
    """Whether a script of the user's own trains it, which the daemon neither starts nor ends;
    `spec` is then what the script has said of itself, an `AttachedSpec`."""

    @property
    def awaits_script(self) -> bool:
        """Whether it begins when somebody starts a script under its name, and not by itself."""
        return self.attached and self.phase is Phase.QUEUED

    @property
    def begins_at_checkpoint(self) -> bool:
        """Whether its script is to be brought to the checkpoint of another run first: it is a
        fork, and has not finished a step of its own."""
        origin, snapshot = self.origin, self.snapshot
        if not self.attached or origin is None:
            return False
        return snapshot is None or snapshot.step <= origin.step

    @property
    def in_memory(self) -> tuple[CheckpointInfo, ...]:
        """The snapshots that its trainer keeps, as far as anybody knows, oldest first."""
        is_training = self.phase in TRAINING
        return self.snapshot.in_memory if self.snapshot and is_training else ()


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """What the validation set said when somebody asked."""

    step: int
    """Number of finished steps."""
    validation_loss: float
    validation_accuracy: float | None = None
    """None where targets are not classes."""


class HeldChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change that waits for a second principal's approval."""

    request_id: str
    verb: str
    value: float | None = None
    groups: tuple[str, ...] = ()
    principal: str
    """Who asked."""
    reason: str = ""
    ratio: float
    """By how much it would move an LR, up or down, when it was asked for; 1 or more."""
    expires_at: float
    """When it is dropped, seconds since the epoch."""


class ChangeResult(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a change."""

    decision: Decision | None
    """What was applied; None when the caller did not wait and it is still to come."""
    request_id: str
    """The key to ask again with."""
    dry_run: bool = False
    """Whether the decision is only what would be: nothing was changed or recorded."""


class RollbackResult(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a wish to go back."""

    step: int
    """Number of finished steps of the checkpoint that the run has gone back to, or would."""
    decision: Decision | None = None
    """The record of it; None for a dry run."""


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """How the present LRs of a run come about."""

    run: str
    step: int
    """The step whose LRs are explained."""
    revision: int
    groups: tuple[GroupState, ...]
    decisions: tuple[Decision, ...] = ()
    """Those that still act on them, oldest first."""


class StepRows(msgspec.Struct, frozen=True, kw_only=True):
    """A batch of consecutive finished steps, column by column; what `runs export` reads.

    Doubles are packed little-endian, one per step, so that a loss keeps every bit.
    """

    first_step: int
    count: int
    train_loss: bytes
    learning_rate: dict[str, bytes]
    """By group."""
    duration: bytes
    """Seconds from one step boundary to the next."""
    base: dict[str, bytes] = {}
    """The schedule's LR by group, `lr_scale` included."""
    momentum: dict[str, bytes] = {}
    """By group; only where a schedule moves it at some step, and NaN at the others."""
    components: dict[int, str] = {}
    """How the LRs come about from a step on, `Components` as JSON: at the first step of the batch,
    and at each where anything but the schedule moved one. What the schedule alone moves, `base` and
    `learning_rate`, is in the columns."""
    gradient_norm: dict[int, float] = {}
    """By step, where it was measured."""
    validation_loss: dict[int, float] = {}
    """By number of finished steps."""
    validation_accuracy: dict[int, float] = {}
    skipped_at_loss_scale: dict[int, float] = {}
    """The loss scale that was too large, by step whose update was left out for it."""


class WatchEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One thing a watcher is told; exactly one field besides `run` is set."""

    run: str
    view: RunView | None = None
    """First of all, and again at each change of phase."""
    snapshot: Snapshot | None = None
    """The newest state; a slow reader misses some, never the last."""
    decision: Decision | None = None
    """Every decision, in order, none left out."""


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """What a script must know to train a run."""

    run: RunView
    link: str
    """Path of the file that names the present daemon's socket."""
    folder: str
    """Path of the run's folder, whose lock the script holds for its life."""
    token: str
    """The secret that it proves itself with."""
