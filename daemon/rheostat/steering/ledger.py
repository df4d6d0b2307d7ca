"""What has been decided: each decision in its order, with the LRs before and after."""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from rheostat.steering.group import Group
from rheostat.steering.records import Decision, GroupChange
from rheostat.steering.script import Script


class Ledger:
    """Numbers decisions, and knows the LRs that the next one will change.

    Within the steps that its script covers, only what stands there is decided.
    """

    def __init__(self, names: Sequence[str], clock: Callable[[], float]) -> None:
        self.revision = 0
        self.learning_rates: list[float] = [math.nan] * len(names)
        """LR of each group, in their order, as the newest decision left it."""
        self.decisions: list[Decision] = []
        """Since somebody took them."""
        self.script = Script()
        """What had been decided from here on before an interruption."""
        self._clock = clock
        self._names = tuple(names)

    def now(self) -> float:
        """Return the time of the next decision: what is written down, or what the clock says."""
        told = self.script.told(self.revision + 1)
        return self._clock() if told is None else told.time

    def decide(self, step: int, groups: Sequence[Group], source: str, **fields: Any) -> Decision:
        """Record what has just been done to some groups."""
        return self.record(
            Decision(
                revision=self.revision + 1,
                applied_step=step,
                source=source,
                groups=self.describe(groups),
                time=self.now(),
                **fields,
            )
        )

    def describe(
        self, groups: Sequence[Group], bent: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    ) -> tuple[GroupChange, ...]:
        """Describe the way of some groups from the LR they had to the one they have.

        Args:
            groups: those that were changed.
            bent: guardrails that had bent what was asked for before it was composed, by group.
        """
        old = dict(zip(self._names, self.learning_rates, strict=True))
        return tuple(
            group.change_from(old[group.name], bent.get(group.name, ())) for group in groups
        )

    def record(self, decision: Decision) -> Decision:
        """Keep a decision, and take its LRs as the old ones of the next.

        Returns:
            The decision; where it was made again, as it is written down.
        """
        if self.script.covers(decision.applied_step):
            told = self.script.checked(decision)
            if told is None:
                return decision
            decision = told
        new = {change.name: change.new for change in decision.groups}
        # A new list: whoever holds the old one keeps the old LRs.
        self.learning_rates = [
            new.get(name, lr) for name, lr in zip(self._names, self.learning_rates, strict=True)
        ]
        self.revision = decision.revision
        self.decisions.append(decision)
        return decision

    def take(self) -> list[Decision]:
        """Return what was decided since the last time, but for what is written down already."""
        taken, self.decisions = self.decisions, []
        known = self.script.last_revision
        return [one for one in taken if one.revision > known] if known else taken
