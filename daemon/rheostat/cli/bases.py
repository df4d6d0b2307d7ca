"""Which schedule gives the base LR of a group: the spec's, or one put in its place."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rheostat.runs.records import RunView
from rheostat.steering.records import Decision, Verb
from rheostat.steering.wording import who


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """Where the base LR of one group comes from."""

    group: str
    schedule: str
    """Name of the schedule, or `cooldown`."""
    since_step: int = 0
    """First step that it gave."""
    revision: int | None = None
    """Decision that put it there; None where it is the spec's."""
    by: str = ""
    """Who decided that; empty where it is the spec's."""
    of: str = "spec"
    """What says so where nobody decided it: the spec, or an attached script."""

    @property
    def sentence(self) -> str:
        """Return it in words."""
        if self.revision is None:
            return f"{self.schedule} of the {self.of}"
        return (
            f"{self.schedule} since step {self.since_step}, by {self.by} (revision {self.revision})"
        )


def bases_of(view: RunView, in_force: Iterable[Decision]) -> Iterator[Base]:
    """Yield where the base LR of each group of a run comes from.

    Args:
        view: the run.
        in_force: the decisions that act on its LRs, oldest first.
    """
    common = json.loads(view.spec).get("schedule", {}).get("name", "constant")
    swaps = [one for one in in_force if one.verb in (Verb.SWAP, Verb.COOLDOWN)]
    for group in view.groups:
        of = "script" if view.attached else "spec"
        base = Base(group=group.name, schedule=group.schedule or common, of=of)
        for swap in swaps:
            if group.name in {changed.name for changed in swap.groups}:
                base = _swapped_in(group.name, swap)
        yield base


def _swapped_in(group: str, decision: Decision) -> Base:
    assert decision.edit is not None
    return Base(
        group=group,
        schedule=decision.edit.schedule or decision.verb,
        since_step=decision.applied_step,
        revision=decision.revision,
        by=who(decision),
    )
