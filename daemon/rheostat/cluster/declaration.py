"""What the spec of a TrainingRun says beside the run itself: where, and how it is steered now.

Unlike a request over gRPC, which is made once, a declaration holds until it is changed. `scale:
0.5` says that the LR is half of what schedule and policies give; `scale: 0.25` after it says a
quarter, not a quarter of the half.
"""

from typing import NamedTuple, Self

from pydantic import Field, model_validator

from rheostat.cluster.declared import Declared, Reason
from rheostat.cluster.declared_policies import PolicyDeclaration
from rheostat.cluster.declared_schedule import ScheduleDeclaration
from rheostat.steering.records import Verb

EXCLUSIVE = ("scale", "set", "hold")
"""Keys of a wish; it may have one of them."""


class Wish(NamedTuple):
    """What is wanted of one group."""

    verb: Verb
    value: float | None
    """The factor or LR that comes with the verb."""


class GroupDeclaration(Declared):
    """The LR of one param group; without any key it is what schedule and policies give."""

    scale: float | None = Field(
        default=None, ge=0, description="this multiple of what schedule and policies give"
    )
    set: float | None = Field(
        default=None,
        ge=0,
        description="this LR when it is applied; the schedule's shape goes on from there",
    )
    hold: float | None = Field(
        default=None, ge=0, description="this LR until it is changed, whatever the schedule says"
    )

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        given = [key for key in EXCLUSIVE if getattr(self, key) is not None]
        if len(given) > 1:
            raise ValueError(f"one of {', '.join(EXCLUSIVE)}, not {' and '.join(given)}")
        return self

    @property
    def wish(self) -> Wish | None:
        """What is wanted; None where nothing is."""
        for key in EXCLUSIVE:
            value = getattr(self, key)
            if value is not None:
                return Wish(Verb(key), value)
        return None


class LearningRateDeclaration(GroupDeclaration):
    """The LR of all param groups, and of some of them by name."""

    groups: dict[str, GroupDeclaration] = Field(
        default_factory=dict, description="another wish for some groups, by name"
    )
    reason: Reason = ""

    def wish_for(self, group: str) -> Wish | None:
        """Return what is wanted of a group: its own wish, else the common one."""
        return self.groups.get(group, self).wish


class Declaration(Declared):
    """The spec of a TrainingRun without its `run`."""

    daemon: str | None = Field(
        default=None,
        max_length=253,
        description="name of the daemon that trains it, by default that of its pod; where none is "
        "given, the first daemon of the namespace takes it",
    )
    attached: bool = Field(
        default=False,
        description="whether a script trains the run, attached as what this is called; "
        "then there is no `run`",
    )
    learning_rate: LearningRateDeclaration | None = Field(
        default=None, description="what the LR shall be beside what schedule and policies say"
    )
    schedule: ScheduleDeclaration | None = Field(
        default=None, description="edits of the schedule, each made once when it is declared"
    )
    policies: dict[str, PolicyDeclaration] = Field(
        default_factory=dict,
        description="policies that shall be otherwise than the run began with them, by name",
    )
    suspend: bool = Field(
        default=False, description="whether the run stands still before its next step"
    )
