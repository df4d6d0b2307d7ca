"""What operators want of one group: a product of terms, and perhaps a hold above them."""

from collections import deque
from dataclasses import dataclass

from rheostat.steering.motion import Motion
from rheostat.steering.records import Verb

REMEMBERED_REVISIONS = 32
"""How many settled decisions an explanation still names; older ones live in the history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One scale, set or ramp: a multiplier that may move and may expire."""

    verb: Verb
    motion: Motion
    revision: int
    expires_at: int | None
    """First step it no longer acts on; None is never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """An absolute LR that silences schedule, policies and terms."""

    value: float
    revision: int
    expires_at: int | None


class Operator:
    """The operators' part in one group's LR.

    Terms that neither move nor expire are folded into one number, so a run that is steered for
    months costs no more per step than a fresh one.
    """

    __slots__ = ("hold", "is_moving", "settled", "settled_revisions", "terms", "value")

    def __init__(self) -> None:
        self.settled = 1.0
        self.settled_revisions: deque[int] = deque(maxlen=REMEMBERED_REVISIONS)
        self.terms: list[Term] = []
        self.hold: Hold | None = None
        self.value = 1.0
        """Product of everything at the step last computed."""
        self.is_moving = False
        """Whether the value must be computed anew at the next step."""

    def add(self, term: Term, step: int) -> None:
        """Multiply by one more term."""
        self.terms.append(term)
        self.move_to(step)

    def keep(self, hold: Hold) -> None:
        """Hold the group; a new hold takes the place of an old one."""
        self.hold = hold

    def release(self, step: int) -> None:
        """End the hold; where there is none, drop every term."""
        if self.hold is not None:
            self.hold = None
        else:
            self.settled = 1.0
            self.settled_revisions.clear()
            self.terms.clear()
        self.move_to(step)

    def move_to(self, step: int) -> None:
        """Compute the value of a step, folding in what has come to rest."""
        self._settle(step)
        value = self.settled
        for term in self.terms:
            value *= term.motion.at(step)
        self.value = value
        self.is_moving = any(not term.motion.is_over(step) for term in self.terms)

    def expire(self, step: int) -> list[Term | Hold]:
        """Drop what does not act on this step any more, and return it."""
        expired: list[Term | Hold] = [term for term in self.terms if _is_expired(term, step)]
        if expired:
            self.terms = [term for term in self.terms if not _is_expired(term, step)]
        if self.hold is not None and _is_expired(self.hold, step):
            expired.append(self.hold)
            self.hold = None
        if expired:
            self.move_to(step)
        return expired

    def next_expiry(self) -> int | None:
        """Return the first step at which something expires."""
        expiries = [term.expires_at for term in self.terms if term.expires_at is not None]
        if self.hold is not None and self.hold.expires_at is not None:
            expiries.append(self.hold.expires_at)
        return min(expiries, default=None)

    def revisions(self) -> set[int]:
        """Return the decisions that still act, the newest settled ones among them."""
        acting = {*self.settled_revisions, *(term.revision for term in self.terms)}
        return acting | ({self.hold.revision} if self.hold else set())

    def _settle(self, step: int) -> None:
        resting = []
        for term in self.terms:
            if term.expires_at is None and term.motion.is_over(step):
                self.settled *= term.motion.end
                self.settled_revisions.append(term.revision)
            else:
                resting.append(term)
        self.terms = resting


def _is_expired(wish: Term | Hold, step: int) -> bool:
    return wish.expires_at is not None and step >= wish.expires_at
