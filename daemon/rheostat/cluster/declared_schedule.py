"""Edits of the schedule, as a TrainingRun declares them.

An edit leads on from the LR of the step at which it acts, so it is a turn on the way and no state:
it is made when it is declared or changed, once, and stays made when it is taken away.
"""

import json
from collections.abc import Iterator
from typing import Literal, Self

from pydantic import Field

from rheostat.cluster.declared import Declared, PluginArgs, Reason
from rheostat.steering.records import Change, ScheduleEdit, Verb


class ForGroups(Declared):
    """An edit that some groups may have alone."""

    groups: tuple[str, ...] = Field(default=(), description="names of some groups, else all")


class SwapDeclaration(ForGroups):
    """Another schedule from here, for what is left of the run."""

    name: str = Field(min_length=1, description="the new schedule, as in a spec")
    args: PluginArgs = Field(default_factory=dict)
    rescale: bool = Field(
        default=True, description="whether the new curve is scaled so that the LR goes on"
    )

    def as_edit(self) -> ScheduleEdit:
        """Return it as an operator's wish."""
        return ScheduleEdit(schedule=self.name, args=json.dumps(self.args), rescale=self.rescale)


class HorizonDeclaration(Declared):
    """Another number of planned steps, to which the schedules are fitted."""

    steps: int = Field(ge=1, description="planned steps of the whole run")
    rescale: bool = Field(
        default=True, description="whether the curve is scaled so that the LR goes on"
    )

    def as_edit(self) -> ScheduleEdit:
        """Return it as an operator's wish."""
        return ScheduleEdit(steps=self.steps, rescale=self.rescale)


class CooldownDeclaration(ForGroups):
    """A fall of the LR from where it is."""

    steps: int | None = Field(
        default=None, ge=1, description="length of the fall; what is left of the run by default"
    )
    shape: Literal["1-sqrt", "linear", "cosine"] = "1-sqrt"
    ratio: float = Field(
        default=0.0, ge=0, le=1, description="where the fall ends, as a share of the LR"
    )

    def as_edit(self) -> ScheduleEdit:
        """Return it as an operator's wish."""
        return ScheduleEdit(steps=self.steps, shape=self.shape, ratio=self.ratio)


class RewarmDeclaration(ForGroups):
    """A rise of the LR to what the schedule gives, from a share of it."""

    steps: int = Field(ge=1, description="length of the rise")
    ratio: float = Field(default=0.0, ge=0, le=1, description="where the rise starts")

    def as_edit(self) -> ScheduleEdit:
        """Return it as an operator's wish."""
        return ScheduleEdit(steps=self.steps, ratio=self.ratio)


class ScheduleDeclaration(Declared):
    """What is done to the schedule, in the order of the fields; each once when it is declared."""

    horizon: HorizonDeclaration | None = None
    swap: SwapDeclaration | None = None
    rewarm: RewarmDeclaration | None = None
    cooldown: CooldownDeclaration | None = None
    reason: Reason = ""

    def new_edits(self, before: Self | None) -> Iterator[tuple[Change, Self]]:
        """Yield the changes that are declared now and were not before.

        Args:
            before: what was declared and done.

        Yields:
            A change, and what is done once it is.
        """
        done = before or type(self)()
        for verb in (Verb.HORIZON, Verb.SWAP, Verb.REWARM, Verb.COOLDOWN):
            edit = getattr(self, verb)
            if edit is not None and edit != getattr(done, verb):
                done = done.model_copy(update={verb.value: edit})
                groups = getattr(edit, "groups", ())
                yield Change(verb=verb, edit=edit.as_edit(), groups=groups), done
