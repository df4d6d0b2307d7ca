"""The life of a change, from the request to the decision that answers it."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from rheostat.errors import (
    FailedPrecondition,
    InvalidRequest,
    NotFound,
    RheostatError,
    Violation,
)
from rheostat.runs.approving import Approvals, Held, ratio_of
from rheostat.runs.errands import Errand, request_id_is_used
from rheostat.runs.keeping import Keeper
from rheostat.runs.live import LiveRun, is_answered_by
from rheostat.runs.messages import PolicyVanished
from rheostat.runs.reading import Reader
from rheostat.runs.records import LIVING, ChangeResult, HeldChange, RunView
from rheostat.runs.sessions import PolicySession
from rheostat.spec.admission import Admission
from rheostat.steering.inbox import stale
from rheostat.steering.records import Change, Decision
from rheostat.steering.requests import check


class Changes:
    """Looks at requests, and brings them to trainers and their answers back."""

    def __init__(
        self,
        reader: Reader,
        keeper: Keeper,
        admission: Admission | None = None,
        approvals: Approvals | None = None,
    ) -> None:
        self._reader = reader
        self._keeper = keeper
        self._admission = admission
        self._approvals = approvals

    async def make(self, run: str, change: Change, *, wait: bool = True) -> ChangeResult:
        """Change the LR of a run's groups at its next step boundary, or at the change's `at_step`.

        With `wait` the answer comes when the change is applied and written down; a caller that
        gives up leaves it on its way. One that waits for its step is written down at once, and
        outlives trainer and daemon. The same `request_id` again gets the same answer.

        Raises:
            InvalidRequest: if it could never be satisfied.
            NotFound, FailedPrecondition: if there is no such run, or it cannot be changed now.
            RevisionConflict: if the run is not at `expected_revision`.
            ResourceExhausted: if too many changes wait for their step.
        """
        view = await self._reader.get(run)
        names = [group.name for group in view.groups]
        check(change, names or change.groups, self._admission)
        request_id = change.request_id or str(uuid.uuid4())
        change = msgspec.structs.replace(
            change, request_id=request_id, requested_at=self._keeper.clock()
        )
        known = await self._reader.decided(run, request_id)
        if known is not None and not change.dry_run:
            if not is_answered_by(change, known, names):
                raise request_id_is_used(request_id)
            return ChangeResult(decision=known, request_id=request_id)
        live = await self._reader.living(run, *LIVING, to="have its LR changed")
        held: Held | None = None
        # What is on its way has passed the door, and will happen.
        if live.errands.join(change) is None:
            _let_in(change, live.view)
            held = await self._held(live, change)
        answer = held.answer if held is not None else (await self._ask(live, change)).answer
        decision: Decision | None = None
        if wait or change.dry_run:
            decision = await asyncio.shield(answer)
        return ChangeResult(decision=decision, request_id=request_id, dry_run=change.dry_run)

    async def list_held(self, run: str) -> list[HeldChange]:
        """Return the changes of a run that wait for approval, oldest first.

        Raises:
            NotFound: if there is no such run.
        """
        await self._reader.get(run)
        return self._approvals.list(run) if self._approvals is not None else []

    async def approve(self, run: str, request_id: str, *, principal: str) -> ChangeResult:
        """Carry out a change that waits for approval, and return what it did.

        Args:
            run: its name.
            request_id: of the change.
            principal: who approves.

        Raises:
            NotFound, FailedPrecondition: if there is no such run or change, or the run cannot be
                changed now.
            PermissionDenied: if who approves is who asked.
        """
        live = await self._reader.living(run, *LIVING, to="have its LR changed")
        if self._approvals is None:
            raise NotFound(f"no change of run {run} waits for approval: one person is enough")
        held = self._approvals.approve(run, request_id, principal)
        errand = await self._ask(live, held.change)
        held.follow(errand.answer)
        decision = await asyncio.shield(errand.answer)
        return ChangeResult(decision=decision, request_id=request_id)

    async def _held(self, live: LiveRun, change: Change) -> Held | None:
        """Let a change wait for a second principal, where the run takes one for it."""
        terms = self._approvals.terms_of(live.view.name) if self._approvals is not None else None
        if terms is None or change.dry_run:
            return None
        # Tried out first: only the run itself knows what a verb would do to its LRs.
        tried = msgspec.structs.replace(change, dry_run=True)
        ratio = ratio_of(await asyncio.shield((await self._ask(live, tried)).answer))
        if terms.ratio > 1.0 and ratio <= terms.ratio:
            return None
        assert self._approvals is not None
        return self._approvals.hold(live.view.name, change, ratio, terms)

    @asynccontextmanager
    async def connect_policy(self, run: str, change: Change) -> AsyncIterator[PolicySession]:
        """Make whoever asks a policy of a run, for the life of the block.

        Args:
            run: its name.
            change: the wish to `attach` it, with its remote terms.

        Raises:
            InvalidRequest, NotFound, FailedPrecondition: if it cannot be attached.
        """
        assert change.policy is not None
        policy = change.policy.policy
        live = await self._reader.living(run, *LIVING, to="be steered by a policy")
        if policy in live.sessions:
            raise FailedPrecondition(f"a policy {policy} is connected to run {run} already")
        session = live.sessions[policy] = PolicySession(live, policy)
        try:
            await self.make(run, change)
            yield session
        finally:
            del live.sessions[policy]
            if not live.is_over:
                live.tell(PolicyVanished(policy=policy))

    async def _ask(self, run: LiveRun, change: Change) -> Errand:
        """Send a change to the trainer; one that waits for its step is written down before."""
        known = run.errands.join(change)
        if known is None and change.at_step is not None and not change.dry_run:
            store, name = self._keeper.store, run.view.name
            await self._keeper.stored(store.keep_change, name, change)
            try:
                return run.ask(change)
            except RheostatError:
                await self._keeper.stored(store.drop_change, name, change.request_id)
                raise
        return known or run.ask(change)


def _let_in(change: Change, view: RunView) -> None:
    """Refuse what can be told to be too late without asking the trainer."""
    if change.at_step is not None and view.steps is not None and change.at_step >= view.steps:
        expected = f"a step of the run, which has {view.steps} and counts them from 0"
        raise InvalidRequest([Violation("at_step", str(change.at_step), expected)])
    # Revisions only grow.
    if change.expected_revision is not None and change.expected_revision < view.revision:
        raise stale(view.revision, change.expected_revision)
