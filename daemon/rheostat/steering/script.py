"""What a run had decided before it was interrupted, to happen again at the same steps."""

from bisect import bisect_left
from collections.abc import Sequence

from rheostat.steering.records import POLICY_VERBS, Change, Decision, Offence, Verb

OPERATOR = "operator"
GUARDRAIL = "guardrail"
POLICY_PREFIX = "policy:"
ROLLBACK = "rollback"


class Script:
    """Decisions that are written down already, and the steps within which there are no others.

    What stands here has been answered to somebody, so it wins over what is worked out anew; where
    the two differ, that is kept to be told.

    Args:
        decisions: in order, without those that a rollback has undone.
        offences: answers of policies that were dropped by the clock.
        steps_done: steps of which somebody has been told that they are done.
    """

    def __init__(
        self,
        decisions: Sequence[Decision] = (),
        offences: Sequence[Offence] = (),
        steps_done: int = 0,
    ) -> None:
        self._decisions = {decision.revision: decision for decision in decisions}
        self._revisions = sorted(self._decisions)
        self._offences = {(offence.policy, offence.step): offence for offence in offences}
        newest = max((decision.applied_step for decision in decisions), default=-1)
        self.end = max(newest + 1, steps_done)
        """The first step at which something new may be decided."""
        self.last_revision = max(self._decisions, default=0)
        self.differences: list[str] = []
        """Sentences about what came out otherwise than it is written down."""

    def covers(self, step: int) -> bool:
        """Whether nothing new may be decided at a step."""
        return step < self.end

    def finish(self) -> None:
        """Cover no step any more: the run goes back of its own accord, and what it does from there
        on, at steps that were covered too, is new."""
        self._decisions, self._revisions, self._offences, self.end = {}, [], {}, 0

    def told(self, revision: int) -> Decision | None:
        """Return the decision of a revision, None where there is none here."""
        return self._decisions.get(revision)

    def next(self, revision: int, step: int) -> Decision | None:
        """Return the decision of a revision, None where it is not one of this step.

        Where that one was undone, it is the rollback that has undone it.
        """
        index = bisect_left(self._revisions, revision)
        if index == len(self._revisions):
            return None
        told = self._decisions[self._revisions[index]]
        is_next = told.revision == revision or told.rollback is not None
        return told if is_next and told.applied_step == step else None

    def offence(self, policy: str, step: int) -> Offence | None:
        """Return what became of a policy's answer to the observation of a step, by the clock."""
        return self._offences.get((policy, step))

    def checked(self, made: Decision) -> Decision | None:
        """Return what is written down of a decision made again, None where nothing is."""
        told = self.next(made.revision, made.applied_step)
        if told is None or (told.source, told.verb) != (made.source, made.verb):
            self.differ(made.applied_step, f"{made.source} would decide what it had not decided")
            return None
        if [(one.name, one.new) for one in told.groups] != [
            (one.name, one.new) for one in made.groups
        ]:
            self.differ(made.applied_step, f"decision {told.revision} leads to other LRs")
        return told

    def differ(self, step: int, how: str) -> None:
        """Keep, to be told, that something came out otherwise than it is written down."""
        self.differences.append(
            f"at step {step}, made again after an interruption, {how} than is written down in the "
            "history; the history wins. Is the training deterministic on this machine?"
        )


def change_of(decision: Decision) -> Change:
    """Return the operator's change that became a decision."""
    verb = Verb(decision.verb)
    is_for_all = verb in POLICY_VERBS or verb is Verb.HORIZON
    return Change(
        verb=verb,
        value=decision.value,
        steps=decision.steps,
        edit=decision.edit,
        policy=decision.policy,
        groups=() if is_for_all else tuple(group.name for group in decision.groups),
        expires_after_steps=decision.expires_after_steps,
        reason=decision.reason,
        request_id=decision.request_id,
        principal=decision.principal,
        requested_at=decision.requested_at,
    )
