"""What has been decided: each decision in its order, with the LRs before and after."""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from rheostat.steering.group import Group
from rheostat.steering.records import Decision, GroupChange


class Ledger:
    """Numbers decisions, and knows the LRs that the next one will change."""

    def __init__(self, names: Sequence[str], clock: Callable[[], float]) -> None:
        self.revision = 0
        self.learning_rates: list[float] = [math.nan] * len(names)
        """LR of each group, in their order, as the newest decision left it."""
        self.decisions: list[Decision] = []
        """Since somebody took them."""
        self.now = clock
        self._names = tuple(names)

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
        """Keep a decision, and take its LRs as the old ones of the next."""
        new = {change.name: change.new for change in decision.groups}
        # A new list: whoever holds the old one keeps the old LRs.
        self.learning_rates = [
            new.get(name, lr) for name, lr in zip(self._names, self.learning_rates, strict=True)
        ]
        self.revision = decision.revision
        self.decisions.append(decision)
        return decision

    def take(self) -> list[Decision]:
        """Return what was decided since the last time."""
        taken, self.decisions = self.decisions, []
        return taken
