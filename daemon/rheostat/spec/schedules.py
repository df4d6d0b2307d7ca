"""Which schedule moves the LR: of the whole run, or of one group."""

from pydantic import Field

from rheostat.spec.section import Args, Section


class ScheduleSpec(Section):
    """The LR as a function of the step, before anybody touches it."""

    name: str = Field(
        default="constant",
        description="one of the fifty in docs/schedules.md, such as constant, warmup_cosine, "
        "StepLR, OneCycleLR; an entry point of rheostat.schedules; or package.module:factory",
    )
    args: Args = Field(default_factory=dict)
