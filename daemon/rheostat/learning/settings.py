"""What an environment is asked for: its mode, and the tasks that its episodes are drawn from."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from rheostat.spec.section import Section
from rheostat.spec.wording import did_you_mean
from rheostat_policies.learned.answers import Anchored, Answer, Recursive
from rheostat_policies.learned.features import (
    ANCHORED,
    FEATURES,
    XU2019,
    needs_validation,
)


def _is_feature(name: str) -> str:
    if name not in FEATURES:
        raise ValueError(f"a feature; {did_you_mean(name, FEATURES)}")
    return name


Feature = Annotated[str, AfterValidator(_is_feature)]


class ModeSection(Section):
    """What both modes have."""

    every: int = Field(default=10, ge=1, description="optimizer steps from one action to the next")
    divergence_ratio: float = Field(
        default=10.0,
        gt=1,
        description="an episode ends when the train loss is this many times that of its first step",
    )


class AnchoredSection(ModeSection):
    """A bounded log-factor on a base schedule, per group, judged beside the base run."""

    mode: Literal["anchored"] = "anchored"
    reach: float = Field(
        default=1.3, gt=0, le=10, description="largest |log factor|; 1.3 is 0.27 to 3.7 times"
    )
    features: Annotated[tuple[Feature, ...], Field(min_length=1)] = Field(
        default=ANCHORED, description="what the agent sees of each group, in this order"
    )
    paid: Literal["windows", "end"] = Field(
        default="windows",
        description="when an episode is paid: each window for its part of the improvement, or all "
        "of it at the end, which saves the validations before it unless a feature needs them",
    )
    divergence_penalty: float = Field(
        default=5.0,
        ge=0,
        description="return of an episode that diverges is minus this; 0 is as good as the base",
    )

    @property
    def answers(self) -> Answer:
        """Return what an action means."""
        return Anchored(reach=self.reach)

    @property
    def validates(self) -> Literal["windows", "end"]:
        """Return when a run must be validated for what is seen and paid."""
        return "end" if self.paid == "end" and not needs_validation(self.features) else "windows"


class Xu2019Section(ModeSection):
    """The setting of Xu et al. (arXiv 1909.09712), with the defects of its public code repaired."""

    mode: Literal["xu2019"] = "xu2019"
    discrete: bool = Field(default=True, description="keep, raise, lower; or how much, -1 to 1")
    ratio: float = Field(default=1.05, gt=1, description="most that one action changes the LR")
    min_lr: float = Field(default=1e-5, gt=0, description="smallest LR")
    max_lr: float = Field(default=1e-1, gt=0, description="largest LR")
    noise: float = Field(
        default=0.0,
        ge=0,
        description="standard deviation of what is added to the LR with each action; the public "
        "code's was 1e-5",
    )
    initial_noise: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="standard deviation of an episode's first LR, as a share of it; the public "
        "code's was 0.1",
    )

    paid: ClassVar[Literal["windows"]] = "windows"
    validates: ClassVar[Literal["windows"]] = "windows"

    @property
    def features(self) -> tuple[str, ...]:
        """Return the names of the seven observations."""
        return XU2019

    @property
    def answers(self) -> Answer:
        """Return what an action means."""
        return Recursive(
            ratio=self.ratio, min_lr=self.min_lr, max_lr=self.max_lr, discrete=self.discrete
        )


Mode = AnchoredSection | Xu2019Section
MODES: Mapping[str, type[Mode]] = {"anchored": AnchoredSection, "xu2019": Xu2019Section}
"""Modes by the name that a configuration gives them."""


class TaskSection(Section):
    """One training job to learn on, and its variations."""

    spec: dict[str, Any] = Field(
        description="a spec as `rheostat run` takes it, or the path of one; its schedule is the "
        "base, and evaluate.every is the mode's `every`"
    )
    lrs: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        default=(),
        description="values of optimizer.lr, of which an episode draws one; by default the spec's",
    )
    seeds: int = Field(
        default=16,
        ge=1,
        description="number of train.seed values that an episode draws from, counted from the "
        "spec's; the base run of each is trained once",
    )
