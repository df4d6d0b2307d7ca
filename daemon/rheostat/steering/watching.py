"""An eye on the guardrails: what they bend is counted, and when that begins or ends, recorded."""

from collections.abc import Sequence

from rheostat.steering.group import Group
from rheostat.steering.ledger import Ledger


class GuardrailWatch:
    """Counts what guardrails bend in the groups of a run, and tells the ledger of each change."""

    def __init__(self, groups: Sequence[Group], ledger: Ledger) -> None:
        self.interventions: dict[str, int] = {}
        """Group-steps that each guardrail has bent."""
        self.is_bent = False
        """Whether a guardrail bends some group at this step or did at the one before."""
        self._groups = groups
        self._ledger = ledger
        self.touched_before: tuple[tuple[str, ...], ...] = ((),) * len(groups)
        """What bent each group when somebody last looked."""

    def count(self, rules: Sequence[str]) -> None:
        """Count one touch of each of some rules."""
        for rule in rules:
            self.interventions[rule] = self.interventions.get(rule, 0) + 1

    def look(self, step: int) -> None:
        """Notice that guardrails bend the LRs of a step otherwise than those before it.

        Where somebody else has changed the LRs too, their decision says what was bent.
        """
        touched = tuple(group.touched for group in self._groups)
        if touched != self.touched_before and not self._ledger.decisions:
            self._record(step)
        self.touched_before = touched
        self.is_bent = any(touched)

    def _record(self, step: int) -> None:
        changed = [
            group
            for group, before in zip(self._groups, self.touched_before, strict=True)
            if group.touched != before
        ]
        acting = sorted({rule for group in changed for rule in group.touched})
        reason = f"bent by {', '.join(acting)}" if acting else "no guardrail binds any more"
        self._ledger.decide(step, changed, "guardrail", reason=reason)
