"""Changes that have been asked for: which may pass, which wait for their step."""

import math
from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush

from rheostat.errors import ResourceExhausted, RevisionConflict
from rheostat.steering.group import Group
from rheostat.steering.pace import Pace
from rheostat.steering.records import Change, Verb
from rheostat.steering.requests import check

MAX_PENDING_CHANGES = 1000
LETS_GO = frozenset({Verb.RELEASE, Verb.DETACH, Verb.SHADOW})
"""Verbs that end what somebody or something does; they never have to wait."""
MOVES_NOTHING = frozenset({Verb.ATTACH, Verb.REVIVE})
"""Verbs that leave LRs as they are, so that a group which cools down need not mind them."""


class Inbox:
    """Looks at every change twice: when it arrives, and when its step has come."""

    def __init__(self, names: Sequence[str], max_changes_per_minute: int | None) -> None:
        self._names = tuple(names)
        self.pace = Pace(max_changes_per_minute)
        self._waiting: list[tuple[int, int, Change]] = []

    @property
    def is_waiting(self) -> bool:
        """Whether a change waits for its step."""
        return bool(self._waiting)

    def check(self, change: Change, revision: int) -> None:
        """Refuse, on arrival, what could never be done or was asked for on old knowledge.

        Raises:
            InvalidRequest, RevisionConflict, ResourceExhausted: saying why.
        """
        check(change, self._names)
        expected = change.expected_revision
        if expected is not None and expected != revision:
            raise stale(revision, expected)
        if len(self._waiting) >= MAX_PENDING_CHANGES:
            raise ResourceExhausted(f"{MAX_PENDING_CHANGES} changes wait for their step already")

    def holds(self, ticket: int, change: Change) -> bool:
        """Whether a change waits here already; its outcome then goes to whoever asked last.

        A daemon asks again for what the one before it has asked for.
        """
        for index, (step, _, known) in enumerate(self._waiting):
            if change.request_id and known.request_id == change.request_id:
                self._waiting[index] = (step, ticket, known)
                heapify(self._waiting)
                return True
        return False

    def keep(self, ticket: int, change: Change, step: int) -> None:
        """Keep a change until a step."""
        heappush(self._waiting, (step, ticket, change))

    def due(self, step: int) -> Iterator[tuple[int, Change]]:
        """Hand out the changes whose step has come, with their tickets, in order."""
        while self._waiting and self._waiting[0][0] <= step:
            _, ticket, change = heappop(self._waiting)
            yield ticket, change

    def admit(self, change: Change, groups: Sequence[Group], step: int, now: float) -> None:
        """Refuse a change that comes too soon after others; whoever lets go is never refused.

        Raises:
            ResourceExhausted: saying when the next may come.
        """
        if change.verb in LETS_GO:
            return
        for group in groups:
            if step < group.cool_at() and change.verb not in MOVES_NOTHING:
                raise ResourceExhausted(
                    f"group {group.name} was changed at step {group.changed_at} and cools down: "
                    f"guardrails.cool_down_steps lets the next change in at step {group.cool_at()}"
                )
        seconds = self.pace.wait(now)
        if seconds > 0:
            raise ResourceExhausted(
                f"guardrails.max_changes_per_minute is {self.pace.most}: "
                f"the next change can be made in {math.ceil(seconds)} s"
            )

    def note(self, now: float) -> None:
        """Count a change that was made."""
        self.pace.note(now)


def stale(revision: int, expected: int) -> RevisionConflict:
    """Return the error for a change that was asked for on old knowledge."""
    return RevisionConflict(
        f"the run is at revision {revision}, not {expected}: somebody changed it "
        "since you looked; look again and decide anew"
    )
