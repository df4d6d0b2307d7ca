"""The two-person rule: changes that wait until somebody else approves them, or expire.

They are kept in memory: a daemon that ends forgets them, which is what happens to them anyway if
nobody approves in time, and nobody was told that they were accepted.
"""

import asyncio
import math
from asyncio import Future
from collections.abc import Callable
from typing import Protocol

import msgspec

from rheostat.errors import FailedPrecondition, NotFound, PermissionDenied, ResourceExhausted
from rheostat.runs.errands import is_same_request, request_id_is_used
from rheostat.runs.records import HeldChange
from rheostat.steering.records import Change, Decision

MAX_HELD = 100
"""Changes of one run that may wait for approval."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """When changes of a run take a second principal."""

    ratio: float = 1.0
    """Largest factor by which one person may move an LR, up or down; 1 is not at all."""
    expires_seconds: float = 600.0
    """Time after which a change that nobody approved is dropped."""


class Rule(Protocol):
    """Knows which runs take a second principal for what."""

    def __call__(self, run: str) -> Terms | None:
        """Return the terms of a run; None where one person is enough."""
        ...


class Held:
    """A change that waits, and whoever waits for it."""

    def __init__(self, change: Change, told: HeldChange) -> None:
        self.change = change
        self.told = told
        self.answer: Future[Decision] = asyncio.get_running_loop().create_future()
        # Whoever did not wait never asks for the error; asyncio must not complain of that.
        self.answer.add_done_callback(lambda answer: answer.cancelled() or answer.exception())

    def follow(self, answer: Future[Decision]) -> None:
        """Take the answer of the change that is now carried out, whoever still waits for it."""
        answer.add_done_callback(self._take)

    def _take(self, answer: Future[Decision]) -> None:
        if self.answer.done() or answer.cancelled():
            return
        error = answer.exception()
        if error is not None:
            self.answer.set_exception(error)
        else:
            self.answer.set_result(answer.result())


class Approvals:
    """The changes that wait, by run and request.

    Args:
        rule: which runs take a second principal for what.
        clock: seconds since the epoch.
    """

    def __init__(self, rule: Rule, clock: Callable[[], float]) -> None:
        self._rule = rule
        self._clock = clock
        self._held: dict[str, dict[str, Held]] = {}

    def terms_of(self, run: str) -> Terms | None:
        """Return the terms of a run; None where one person is enough."""
        return self._rule(run)

    def list(self, run: str) -> list[HeldChange]:
        """Return what waits, oldest first."""
        return [held.told for held in self._held.get(run, {}).values()]

    def hold(self, run: str, change: Change, ratio: float, terms: Terms) -> Held:
        """Let a change wait, or join the same request that waits.

        Raises:
            FailedPrecondition: if its request_id waits with another wish.
            ResourceExhausted: if too many wait.
        """
        waiting = self._held.setdefault(run, {})
        known = waiting.get(change.request_id)
        if known is not None:
            if not is_same_request(known.change, change):
                raise request_id_is_used(change.request_id)
            return known
        if len(waiting) >= MAX_HELD:
            raise ResourceExhausted(f"{MAX_HELD} changes of run {run} wait for approval already")
        told = HeldChange(
            request_id=change.request_id,
            verb=change.verb,
            value=change.value,
            groups=change.groups,
            principal=change.principal,
            reason=change.reason,
            ratio=ratio,
            expires_at=self._clock() + terms.expires_seconds,
        )
        held = waiting[change.request_id] = Held(change, told)
        loop = asyncio.get_running_loop()
        loop.call_later(terms.expires_seconds, self._expire, run, held)
        return held

    def approve(self, run: str, request_id: str, principal: str) -> Held:
        """Take a change out, with the second principal's name in it; it is to be carried out now.

        Raises:
            NotFound: if there is none.
            PermissionDenied: if who approves is who asked.
        """
        held = self._held.get(run, {}).get(request_id)
        if held is None:
            raise NotFound(
                f"no change {request_id!r} of run {run} waits for approval: it is done, or expired"
            )
        if held.change.principal == principal:
            raise PermissionDenied(f"{principal} asked for this change; another must approve it")
        self._drop(run, held)
        held.change = msgspec.structs.replace(held.change, approved_by=principal)
        return held

    def _expire(self, run: str, held: Held) -> None:
        if self._held.get(run, {}).get(held.told.request_id) is not held:
            return
        self._drop(run, held)
        if not held.answer.done():
            text = f"nobody approved the change of run {run} in time; nothing was changed"
            held.answer.set_exception(FailedPrecondition(text))

    def _drop(self, run: str, held: Held) -> None:
        waiting = self._held[run]
        del waiting[held.told.request_id]
        if not waiting:
            del self._held[run]


def ratio_of(decision: Decision) -> float:
    """Return by how much a decision moves an LR, up or down: 1 or more, infinite to or from 0."""
    ratios = [1.0]
    for group in decision.groups:
        low, high = sorted((group.old, group.new))
        if low != high:
            ratios.append(high / low if low > 0 else math.inf)
    return max(ratios)
