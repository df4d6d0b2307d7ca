"""What the rest of the daemon asks of runs: the one face of this room."""

import asyncio
import shutil
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import ParamSpec, TypeVar

import msgspec

from rheostat.errors import (
    FailedPrecondition,
    InvalidRequest,
    InvalidSpec,
    NotFound,
    Violation,
)
from rheostat.runs.approving import Approvals, Held, Rule, ratio_of
from rheostat.runs.explaining import components_at
from rheostat.runs.histogram import Histogram
from rheostat.runs.lifecycle import Lifecycle
from rheostat.runs.live import LiveRun, is_answered_by, request_id_is_used
from rheostat.runs.messages import PauseCommand, PolicyVanished, ResumeCommand, StopCommand
from rheostat.runs.records import (
    ChangeResult,
    Explanation,
    HeldChange,
    Phase,
    RunView,
    StepRows,
    WatchEvent,
)
from rheostat.runs.sessions import PolicySession
from rheostat.runs.store import Store
from rheostat.runs.supervisor import Supervisor
from rheostat.spec.admission import Admission
from rheostat.spec.validation import load
from rheostat.steering.inbox import stale
from rheostat.steering.records import Change, Decision, DecisionRecord
from rheostat.steering.requests import check

P = ParamSpec("P")
T = TypeVar("T")

_PAGE = 100
_STEERABLE = (Phase.STARTING, Phase.RUNNING, Phase.PAUSED)


class RunService:
    """Creates, steers, shows and forgets runs. Every coroutine runs on the daemon's event loop."""

    def __init__(
        self,
        store: Store,
        supervisor: Supervisor,
        *,
        max_concurrent_runs: int,
        clock: Callable[[], float],
        admission: Admission | None = None,
        approvals: Rule | None = None,
    ) -> None:
        """Prepare; nothing happens before `start`.

        Args:
            store: where runs and decisions are kept.
            supervisor: who starts trainers.
            max_concurrent_runs: of which the others wait.
            clock: seconds since 1970.
            admission: what specs and changes may name unless the daemon's owner wrote them; None is
                anything.
            approvals: which runs take a second principal for what; None is none.
        """
        self._approvals = Approvals(approvals, clock) if approvals is not None else None
        self._admission = admission
        self._store = store
        self._supervisor = supervisor
        self._clock = clock
        # One thread: the store is not made for more, and writes keep their order.
        self._store_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._lifecycle = Lifecycle(supervisor, self._stored, store, max_concurrent_runs, clock)

    async def start(self, *, continue_queue: bool = True) -> None:
        """Begin to accept trainers, and settle what an earlier daemon left behind.

        Args:
            continue_queue: whether to train what waits in the queue; else it goes on waiting.
        """
        await self._lifecycle.start(continue_queue=continue_queue)

    async def drain(self, seconds: float) -> None:
        """Stop every run at its next step boundary, wait for that, and close the store."""
        await self._lifecycle.drain(seconds)
        await self._stored(self._store.close)
        self._store_thread.shutdown()

    # --- what telemetry reads, without waiting -------------------------------------------------

    def views(self) -> list[RunView]:
        """Return the newest view of every run of this daemon's life."""
        return [run.view for run in self._lifecycle.runs.values()]

    @property
    def durations(self) -> Mapping[str, Histogram]:
        """Step durations, by run."""
        return {name: run.durations for name, run in self._lifecycle.runs.items()}

    @property
    def policy_durations(self) -> Mapping[str, Mapping[str, Histogram]]:
        """Seconds that policies took for their answers, by run and by policy."""
        return {name: run.policy_durations for name, run in self._lifecycle.runs.items()}

    @property
    def changes(self) -> Mapping[str, Mapping[str, int]]:
        """Number of decisions, by run and by source."""
        return {name: run.changes for name, run in self._lifecycle.runs.items()}

    # --- runs ----------------------------------------------------------------------------------

    async def create_run(
        self,
        spec: str,
        *,
        principal: str,
        request_id: str = "",
        permit: Callable[[str], Awaitable[None]] | None = None,
        is_trusted: bool = False,
    ) -> RunView:
        """Put a run into the queue, where it starts as soon as there is room.

        Args:
            spec: YAML or JSON text.
            principal: who asks.
            request_id: idempotency key: the same again returns the first run.
            permit: raises if there may be no run of the spec's name.
            is_trusted: whether the daemon's owner wrote the spec, which may then name anything.

        Raises:
            InvalidSpec: with every mistake that can be seen without torch and the data.
            FailedPrecondition: if the key came with another spec before.
        """
        # In a thread: reading a page of YAML takes a while, in which others want answers.
        parsed = await asyncio.to_thread(load, spec)
        if permit is not None:
            await permit(parsed.name)
        if self._admission is not None and not is_trusted:
            refused = list(self._admission.violations(parsed.model_dump(mode="json")))
            if refused:
                raise InvalidSpec(refused)
        view = RunView(
            name=parsed.name,
            phase=Phase.QUEUED,
            spec=parsed.model_dump_json(),
            principal=principal,
            created_at=self._clock(),
        )
        created = await self._stored(self._store.create_run, view, request_id)
        if created.spec != view.spec:
            raise FailedPrecondition(
                f"request_id {request_id!r} was used to create run {created.name} from another "
                "spec; a new run needs a new request_id"
            )
        if created.phase is Phase.QUEUED and created.name not in self._lifecycle.runs:
            self._lifecycle.enqueue(LiveRun(created))
        return created

    async def get_run(self, run: str) -> RunView:
        """Return a run.

        Raises:
            NotFound: if there is none of that name.
        """
        live = self._lifecycle.runs.get(run)
        if live is not None:
            return live.view
        view = await self._stored(self._store.get_run, run)
        if view is None:
            raise NotFound(f"no run is named {run!r}; `rheostat runs list` shows those there are")
        return view

    async def list_runs(self) -> list[RunView]:
        """Return all runs, oldest first."""
        runs = self._lifecycle.runs
        stored = await self._stored(self._store.list_runs)
        return [runs[view.name].view if view.name in runs else view for view in stored]

    async def pause_run(self, run: str, *, principal: str) -> RunView:
        """Let the run stand still before its next step; return once it does.

        Raises:
            NotFound, FailedPrecondition: if there is no such run, or it is not training.
        """
        live = await self._living(run, Phase.RUNNING, Phase.PAUSED, to="be paused")
        if live.view.phase is Phase.RUNNING:
            live.tell(PauseCommand())
        return await live.reach(Phase.PAUSED)

    async def resume_run(self, run: str, *, principal: str) -> RunView:
        """Let a paused run go on; return once it does.

        Raises:
            NotFound, FailedPrecondition: if there is no such run, or it is not training.
        """
        live = await self._living(run, Phase.RUNNING, Phase.PAUSED, to="be resumed")
        if live.view.phase is Phase.PAUSED:
            live.tell(ResumeCommand())
        return await live.reach(Phase.RUNNING)

    async def stop_run(self, run: str, *, principal: str) -> RunView:
        """Ask a run to end at its next step boundary, validated and saved; return at once.

        Raises:
            NotFound, FailedPrecondition: if there is no such run, or it has ended.
        """
        live = await self._living(run, *(phase for phase in Phase if not phase.is_final), to="stop")
        if live.view.phase is Phase.QUEUED:
            await self._lifecycle.forget_queued(live)
        elif live.view.phase is not Phase.STOPPING:
            live.update(phase=Phase.STOPPING)
            live.tell(StopCommand())
        return live.view

    async def delete_run(self, run: str, *, principal: str) -> None:
        """Delete a run that has ended, with its history and its files.

        Raises:
            NotFound, FailedPrecondition: if there is no such run, or it has not ended.
        """
        view = await self.get_run(run)
        if not view.phase.is_final:
            raise FailedPrecondition(f"run {run} is {view.phase}; stop it before you delete it")
        await self._lifecycle.trainer_gone(run)
        await self._stored(self._store.delete_run, run)
        self._lifecycle.runs.pop(run, None)
        folder = self._supervisor.folder_of(run)
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def watch_run(
        self, run: str, *, after_revision: int | None = None
    ) -> AsyncIterator[WatchEvent]:
        """Tell what happens to a run until it ends.

        A view comes first, and again at each change of phase, the final one last. Every decision
        after a revision (None: from now on) is told once, in order: they are read back from the
        store, so a slow reader costs no memory. Of snapshots a slow reader gets the newest.
        """
        view = await self.get_run(run)
        live = self._lifecycle.runs.get(run)
        revision = view.revision if after_revision is None else after_revision
        yield WatchEvent(run=run, view=view)
        told_phase, told_snapshot = view.phase, None
        while True:
            news = live.news if live else None
            view = live.view if live else view
            while revision < view.revision:
                for record in await self.list_decisions(run, after_revision=revision, limit=_PAGE):
                    yield WatchEvent(run=run, decision=record.decision)
                    revision = record.decision.revision
            if view.snapshot is not None and view.snapshot is not told_snapshot:
                told_snapshot = view.snapshot
                yield WatchEvent(run=run, snapshot=told_snapshot)
            if view.phase is not told_phase:
                told_phase = view.phase
                yield WatchEvent(run=run, view=view)
            if view.phase.is_final or news is None:
                return
            await news.wait()

    async def export_run(self, run: str) -> AsyncIterator[StepRows]:
        """Return every finished step of a run, in order, in batches."""
        await self.get_run(run)
        live = self._lifecycle.runs.get(run)
        if live is not None:
            await self._lifecycle.save_rows(live)
        last = -1
        while batches := await self._stored(self._store.read_rows, run, last):
            for batch in batches:
                yield batch
                last = batch.first_step + batch.count - 1

    # --- learning rates ------------------------------------------------------------------------

    async def change_learning_rate(
        self, run: str, change: Change, *, wait: bool = True
    ) -> ChangeResult:
        """Change the LR of a run's groups at its next step boundary, or at the change's `at_step`.

        With `wait` the answer comes when the change is applied and written down; a caller that
        gives up leaves it on its way. The same `request_id` again gets the same answer.

        Raises:
            InvalidRequest: if it could never be satisfied.
            NotFound, FailedPrecondition: if there is no such run, or it cannot be changed now.
            RevisionConflict: if the run is not at `expected_revision`.
            ResourceExhausted: if too many changes wait for their step.
        """
        view = await self.get_run(run)
        names = [group.name for group in view.groups]
        check(change, names or change.groups, self._admission)
        if change.at_step is not None and view.steps is not None and change.at_step >= view.steps:
            expected = f"a step of the run, which has {view.steps} and counts them from 0"
            raise InvalidRequest([Violation("at_step", str(change.at_step), expected)])
        request_id = change.request_id or str(uuid.uuid4())
        change = msgspec.structs.replace(change, request_id=request_id, requested_at=self._clock())
        known = await self._decided(run, request_id)
        if known is not None and not change.dry_run:
            if not is_answered_by(change, known, names):
                raise request_id_is_used(request_id)
            return ChangeResult(decision=known, request_id=request_id)
        live = await self._living(run, *_STEERABLE, to="have its LR changed")
        if change.expected_revision is not None and change.expected_revision < live.view.revision:
            # Revisions only grow, so this can be told without asking the trainer.
            raise stale(live.view.revision, change.expected_revision)
        held = await self._held(live, change)
        answer = held.answer if held is not None else live.ask(change).answer
        decision: Decision | None = None
        if wait or change.dry_run:
            decision = await asyncio.shield(answer)
        return ChangeResult(decision=decision, request_id=request_id, dry_run=change.dry_run)

    async def _held(self, live: LiveRun, change: Change) -> Held | None:
        """Let a change wait for a second principal, where the run takes one for it."""
        terms = self._approvals.terms_of(live.view.name) if self._approvals is not None else None
        if terms is None or change.dry_run:
            return None
        # Tried out first: only the run itself knows what a verb would do to its LRs.
        tried = msgspec.structs.replace(change, dry_run=True)
        ratio = ratio_of(await asyncio.shield(live.ask(tried).answer))
        if terms.ratio > 1.0 and ratio <= terms.ratio:
            return None
        assert self._approvals is not None
        return self._approvals.hold(live.view.name, change, ratio, terms)

    async def list_held_changes(self, run: str) -> list[HeldChange]:
        """Return the changes of a run that wait for approval, oldest first.

        Raises:
            NotFound: if there is no such run.
        """
        await self.get_run(run)
        return self._approvals.list(run) if self._approvals is not None else []

    async def approve_change(self, run: str, request_id: str, *, principal: str) -> ChangeResult:
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
        live = await self._living(run, *_STEERABLE, to="have its LR changed")
        if self._approvals is None:
            raise NotFound(f"no change of run {run} waits for approval: one person is enough")
        held = self._approvals.approve(run, request_id, principal)
        pending = live.ask(held.change)
        held.follow(pending.answer)
        decision = await asyncio.shield(pending.answer)
        return ChangeResult(decision=decision, request_id=request_id)

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
        live = await self._living(run, *_STEERABLE, to="be steered by a policy")
        if policy in live.sessions:
            raise FailedPrecondition(f"a policy {policy} is connected to run {run} already")
        session = live.sessions[policy] = PolicySession(live, policy)
        try:
            await self.change_learning_rate(run, change)
            yield session
        finally:
            del live.sessions[policy]
            if not live.view.phase.is_final:
                live.tell(PolicyVanished(policy=policy))

    async def explain(self, run: str, step: int | None = None) -> Explanation:
        """Say how the LRs of a run come about.

        Args:
            run: its name.
            step: a finished one; None is the one that runs next.

        Raises:
            InvalidRequest: if the step is not one that the run has taken.
            NotFound, FailedPrecondition: if there is no such run, or it has not taken a step.
        """
        if step is not None:
            return await self._explain_step(run, step)
        view = await self.get_run(run)
        if view.snapshot is None:
            raise FailedPrecondition(f"run {run} is {view.phase} and has no LR yet")
        snapshot = view.snapshot
        return Explanation(
            run=run,
            step=snapshot.step,
            revision=snapshot.revision,
            groups=snapshot.groups,
            decisions=await self._decisions(run, snapshot.in_force),
        )

    async def _explain_step(self, run: str, step: int) -> Explanation:
        await self.get_run(run)
        live = self._lifecycle.runs.get(run)
        if live is not None:
            await self._lifecycle.save_rows(live)
        found = await self._stored(self._store.read_rows, run, step - 1, 1) if step >= 0 else []
        if not found or not found[0].first_step <= step:
            expected = "a finished step of the run, counted from 0"
            raise InvalidRequest([Violation("step", str(step), expected)])
        components = components_at(found[0], step)
        return Explanation(
            run=run,
            step=step,
            revision=components.revision,
            groups=components.groups,
            decisions=await self._decisions(run, components.in_force),
        )

    async def _decisions(self, run: str, revisions: Sequence[int]) -> tuple[Decision, ...]:
        """Return some decisions of a run."""
        found: list[Decision] = []
        for revision in revisions:
            records = await self.list_decisions(run, after_revision=revision - 1, limit=1)
            found += [record.decision for record in records]
        return tuple(found)

    async def list_decisions(
        self, run: str, *, after_revision: int = 0, limit: int = _PAGE
    ) -> list[DecisionRecord]:
        """Return a page of a run's history, oldest first.

        Raises:
            NotFound: if there is no such run.
        """
        await self.get_run(run)
        return await self._stored(self._store.list_decisions, run, after_revision, limit)

    async def _decided(self, run: str, request_id: str) -> Decision | None:
        """Return what became of a request, None when nothing did yet."""
        live = self._lifecycle.runs.get(run)
        if live is not None and (request_id in live.decided or not live.forgets_requests):
            return live.decided.get(request_id)
        return await self._stored(self._store.find_decision, run, request_id)

    async def _living(self, run: str, *phases: Phase, to: str) -> LiveRun:
        """Return a run that is in one of some phases."""
        view = await self.get_run(run)
        live = self._lifecycle.runs.get(run)
        if live is None or view.phase not in phases:
            when = {Phase.QUEUED: "it has not started", Phase.STARTING: "it has not started"}
            why = "it has ended" if view.phase.is_final else when.get(view.phase, "it is ending")
            raise FailedPrecondition(f"run {run} is {view.phase}: {why}, so it cannot {to}")
        return live

    async def _stored(self, operation: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a store operation on the store's thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._store_thread, lambda: operation(*args, **kwargs))
