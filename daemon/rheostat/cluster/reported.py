"""The status of a TrainingRun, as records: what a daemon writes and its schema is made from."""

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from rheostat.cluster.declaration import Declaration, LearningRateDeclaration
from rheostat.cluster.declared_policies import PolicyDeclaration
from rheostat.cluster.declared_schedule import ScheduleDeclaration
from rheostat.runs.records import Phase


class ResourcePhase(StrEnum):
    """Where a run stands, or a resource that has none."""

    WAITING = "waiting"
    """No run was created yet."""
    REFUSED = "refused"
    """None can be: the spec is invalid."""
    LOST = "lost"
    """There was one, and the daemon knows it no more."""
    QUEUED = Phase.QUEUED.value
    STARTING = Phase.STARTING.value
    RUNNING = Phase.RUNNING.value
    PAUSED = Phase.PAUSED.value
    STOPPING = Phase.STOPPING.value
    SUCCEEDED = Phase.SUCCEEDED.value
    FAILED = Phase.FAILED.value
    STOPPED = Phase.STOPPED.value


class Reported(BaseModel):
    """A part of the status; keys that another version wrote are left out."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, frozen=True, allow_inf_nan=False
    )


class GroupMove(Reported):
    """What a decision did to the LR of one group."""

    old: float
    new: float


class ReportedDecision(Reported):
    """One decision of the run's history."""

    revision: int
    applied_step: int = Field(description="first optimizer step with the new LR")
    source: str = Field(description="operator, policy:<name>, guardrail, expiry or rollback")
    principal: str = Field(default="", description="who asked, where somebody did")
    verb: str = ""
    value: float | None = None
    subject: str = Field(default="", description="the policy or schedule it is about, if any")
    reason: str = ""
    time: str = Field(description="when it was decided, in RFC 3339")
    groups: dict[str, GroupMove] = Field(default_factory=dict)
    guardrails: list[str] = Field(default_factory=list, description="rules that bent it")


class Acted(Reported):
    """The declaration that was last carried out."""

    generation: int = Field(default=0, description="of the resource; 0 before the first")
    suspend: bool = False
    learning_rate: LearningRateDeclaration | None = None
    revisions: dict[str, int] = Field(
        default_factory=dict,
        description="revision of the run when the LR of a group was last brought about",
    )
    schedule: ScheduleDeclaration | None = None
    schedule_revision: int = Field(
        default=0, description="revision of the run after the last edit of its schedule from here"
    )
    policies: dict[str, PolicyDeclaration] = Field(default_factory=dict)
    policy_revisions: dict[str, int] = Field(
        default_factory=dict,
        description="revision of the run when a policy was last brought about",
    )

    def is_all_of(self, declared: Declaration) -> bool:
        """Whether nothing is left to be done to the LR, the schedule and the policies."""
        return (
            self.learning_rate == declared.learning_rate
            and self.schedule == declared.schedule
            and self.policies == declared.policies
        )


class Condition(Reported):
    """One yes or no about the run, in Kubernetes' own shape."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""
    observed_generation: int = 0
    last_transition_time: str


class Display(Reported):
    """What `kubectl get` prints."""

    step: str = ""
    loss: str = ""
    learning_rate: str = ""


class Status(Reported):
    """The whole status."""

    daemon: str = Field(default="", description="the daemon that has taken the run")
    run: str = Field(default="", description="name of the run in that daemon")
    phase: ResourcePhase | None = None
    step: int | None = Field(default=None, description="finished optimizer steps")
    steps: int | None = Field(default=None, description="planned optimizer steps")
    train_loss: float | None = None
    validation_loss: float | None = None
    validation_accuracy: float | None = None
    learning_rate: dict[str, float] = Field(
        default_factory=dict, description="what the optimizer holds, by group"
    )
    last_decision: ReportedDecision | None = None
    drift: ReportedDecision | None = Field(
        default=None, description="a change made by other ways than this resource, still in force"
    )
    acted: Acted = Field(default_factory=Acted)
    observed_generation: int = Field(default=0, description="of the resource when last looked at")
    conditions: list[Condition] = Field(default_factory=list)
    display: Display = Field(default_factory=Display)

    def as_json(self) -> dict[str, Any]:
        """Return what the API server is sent, without what is not known or says nothing."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
