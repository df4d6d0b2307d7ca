"""What the rest of the daemon asks of runs: the one face of this room."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from rheostat.errors import FailedPrecondition
from rheostat.runs.approving import Approvals, Rule
from rheostat.runs.attaching import Attachments
from rheostat.runs.branching import Branches
from rheostat.runs.changes import Changes
from rheostat.runs.checkpoints import CheckpointInfo, list_checkpoints, list_undone
from rheostat.runs.histogram import Histogram
from rheostat.runs.keeping import Keeper
from rheostat.runs.lifecycle import Lifecycle
from rheostat.runs.live import LiveRun
from rheostat.runs.messages import (
    EvaluateCommand,
    Evaluated,
    RollbackCommand,
    SaveCommand,
)
from rheostat.runs.ordering import Orders
from rheostat.runs.probing import Probes
from rheostat.runs.reading import Reader
from rheostat.runs.records import (
    TRAINING,
    Attachment,
    ChangeResult,
    Evaluation,
    Explanation,
    HeldChange,
    Phase,
    RollbackResult,
    RunView,
    StepRows,
    WatchEvent,
)
from rheostat.runs.restarting import RestartPolicy
from rheostat.runs.returning import Rollbacks
from rheostat.runs.sessions import PolicySession
from rheostat.runs.store import Store
from rheostat.runs.supervisor import Supervisor
from rheostat.runs.trials import ProbeReport
from rheostat.spec.admission import Admission
from rheostat.spec.validation import load
from rheostat.steering.records import Change, DecisionRecord

_PAGE = 100


class RunService:
    """Creates, steers, shows and forgets runs. Every coroutine runs on the daemon's event loop.

    Args:
        store: what it remembers.
        supervisor: of the trainers' processes.
        max_concurrent_runs: how many may train at once.
        clock: seconds since the epoch.
        restarts: what becomes of runs whose trainer dies.
        patience: seconds that a trainer may train on without any daemon; None is for ever.
        admission: what specs and changes may name unless the daemon's owner wrote them; None is
            anything.
        approvals: which runs take a second principal for what; None is none.
    """

    def __init__(
        self,
        store: Store,
        supervisor: Supervisor,
        *,
        max_concurrent_runs: int,
        clock: Callable[[], float],
        restarts: RestartPolicy | None = None,
        patience: float | None = None,
        admission: Admission | None = None,
        approvals: Rule | None = None,
    ) -> None:
        self._admission = admission
        self._supervisor = supervisor
        self._keeper = Keeper(store, clock)
        self._lifecycle = Lifecycle(
            supervisor,
            self._keeper,
            max_concurrent_runs=max_concurrent_runs,
            restarts=restarts or RestartPolicy(),
            patience=patience,
        )
        self._reader = Reader(self._lifecycle, self._keeper)
        held = Approvals(approvals, clock) if approvals is not None else None
        self._changes = Changes(self._reader, self._keeper, admission, held)
        self._probes = Probes(self._reader, self._keeper)
        self._orders = Orders(self._reader, self._keeper, self._lifecycle, supervisor)
        self._rollbacks = Rollbacks(self._reader, self._keeper, supervisor, held)
        self._attachments = Attachments(self._lifecycle, self._keeper, supervisor)
        self._branches = Branches(
            self._reader, self._keeper, self._lifecycle, supervisor, admission
        )

    async def start(self, *, continue_queue: bool = True) -> None:
        """Begin to accept trainers, and go on with what an earlier daemon left behind.

        Args:
            continue_queue: whether to train what waits or has lost its trainer; else it goes on
                waiting.
        """
        await self._lifecycle.start(continue_queue=continue_queue)

    async def drain(self, seconds: float) -> None:
        """Put every run by at its next step boundary, wait for that, and close the store."""
        await self._lifecycle.drain(seconds)
        await self._keeper.close()

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

    @property
    def checkpoints(self) -> Mapping[str, Mapping[str, int]]:
        """Number of attempts to take a checkpoint, by run and by outcome."""
        return {name: run.checkpoints for name, run in self._lifecycle.runs.items()}

    @property
    def checkpoint_durations(self) -> Mapping[str, Histogram]:
        """Seconds that checkpoints took, by run."""
        return {name: run.checkpoint_durations for name, run in self._lifecycle.runs.items()}

    @property
    def newest_checkpoints(self) -> Mapping[str, CheckpointInfo]:
        """The newest checkpoint, by run; a run without any is missing."""
        runs = self._lifecycle.runs.items()
        return {name: run.checkpoint for name, run in runs if run.checkpoint is not None}

    # --- runs ----------------------------------------------------------------------------------

    async def create_run(
        self,
        spec: str,
        *,
        principal: str,
        request_id: str = "",
        priority: int = 0,
        permit: Callable[[str], Awaitable[None]] | None = None,
        is_trusted: bool = False,
    ) -> RunView:
        """Put a run into the queue, where it starts as soon as there is room.

        Args:
            spec: YAML or JSON text.
            principal: who asks.
            request_id: idempotency key: the same again returns the first run.
            priority: of runs that wait, the one with the highest starts first, and of equals the
                oldest; one that has started is not interrupted.
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
            self._admission.check(parsed.model_dump(mode="json"))
        now = self._keeper.clock()
        view = RunView(
            name=parsed.name,
            phase=Phase.QUEUED,
            spec=parsed.model_dump_json(),
            principal=principal,
            created_at=now,
            queued_at=now,
            priority=priority,
        )
        created = await self._keeper.stored(self._keeper.store.create_run, view, request_id)
        if created.spec != view.spec:
            raise FailedPrecondition(
                f"request_id {request_id!r} was used to create run {created.name} from another "
                "spec; a new run needs a new request_id"
            )
        if created.phase is Phase.QUEUED and created.name not in self._lifecycle.runs:
            self._lifecycle.enqueue(LiveRun(created))
        return created

    async def attach_run(
        self,
        spec: str,
        *,
        principal: str,
        resume: bool = False,
        restores: bool = False,
        request_id: str = "",
        permit: Callable[[str], Awaitable[None]] | None = None,
    ) -> Attachment:
        """Make a script of the caller's own a run; see `Attachments.make`."""
        return await self._attachments.make(
            spec,
            principal=principal,
            resume=resume,
            restores=restores,
            request_id=request_id,
            permit=permit,
        )

    async def get_run(self, run: str) -> RunView:
        """Return a run.

        Raises:
            NotFound: if there is none of that name.
        """
        return await self._reader.get(run)

    async def list_runs(self) -> list[RunView]:
        """Return all runs, oldest first."""
        return await self._reader.list_all()

    async def pause_run(self, run: str, *, principal: str) -> RunView:
        """Let a run stand still before its next step; see `Orders.pause`."""
        return await self._orders.pause(run, principal=principal)

    async def resume_run(self, run: str, *, principal: str) -> RunView:
        """Let a run go on; see `Orders.resume`."""
        return await self._orders.resume(run, principal=principal)

    async def stop_run(self, run: str, *, principal: str) -> RunView:
        """Ask a run to end at its next step boundary, and return at once; see `Orders.stop`."""
        return await self._orders.stop(run, principal=principal)

    async def delete_run(self, run: str, *, principal: str) -> None:
        """Delete a run that has ended, with all that is kept of it; see `Orders.delete`."""
        await self._orders.delete(run, principal=principal)

    async def replay_run(self, run: str, *, principal: str, request_id: str = "") -> RunView:
        """Do again what a run has done, in a run of its own; see `Branches.replay`."""
        return await self._branches.replay(run, principal=principal, request_id=request_id)

    async def evaluate_run(self, run: str, *, principal: str) -> Evaluation:
        """Look at the validation set at the next step boundary; the training does not notice.

        Raises:
            NotFound, FailedPrecondition: if there is no such run, or it is not training.
        """
        live = await self._reader.living(run, *TRAINING, to="be evaluated")
        errand = live.command(lambda number: EvaluateCommand(command_id=number))
        found: Evaluated = await asyncio.shield(errand.answer)
        return Evaluation(
            step=found.step,
            validation_loss=found.validation_loss,
            validation_accuracy=found.validation_accuracy,
        )

    def watch_run(
        self, run: str, *, after_revision: int | None = None
    ) -> AsyncIterator[WatchEvent]:
        """Tell what happens to a run; see `Reader.watch`."""
        return self._reader.watch(run, after_revision=after_revision)

    def export_run(
        self, run: str, *, undone: int | None = None, from_step: int = 0
    ) -> AsyncIterator[StepRows]:
        """Return every finished step of a run, in order, in batches; see `Reader.export`."""
        return self._reader.export(run, undone, from_step=from_step)

    # --- checkpoints ---------------------------------------------------------------------------

    async def save_checkpoint(
        self, run: str, *, principal: str, pin: bool = False
    ) -> CheckpointInfo:
        """Take a checkpoint at the next step boundary; return when it is on the disk.

        Args:
            run: its name.
            principal: who asks.
            pin: whether to keep it until somebody removes it.

        Raises:
            NotFound, FailedPrecondition: if there is no such run, or it is not training.
            StorageFailed: if the disk does not take it; the older ones are as they were.
        """
        live = await self._reader.living(run, *TRAINING, to="be saved")
        errand = live.command(lambda number: SaveCommand(command_id=number, pin=pin))
        saved: CheckpointInfo = await asyncio.shield(errand.answer)
        return saved

    async def list_checkpoints(self, run: str) -> list[CheckpointInfo]:
        """Return what a run can go back to, oldest first, and after it what is undone.

        Raises:
            NotFound: if there is no such run.
        """
        view = await self.get_run(run)
        folder = self._supervisor.checkpoints_of(run)
        on_disk = await asyncio.to_thread(list_checkpoints, folder)
        undone = await asyncio.to_thread(list_undone, folder)
        own = sorted((*on_disk, *view.in_memory), key=lambda one: (one.step, one.in_memory))
        return [*own, *undone]

    async def roll_back_run(
        self, run: str, command: RollbackCommand, *, dry_run: bool = False
    ) -> RollbackResult:
        """Take a run back to one of its checkpoints; see `Rollbacks.make`."""
        return await self._rollbacks.make(run, command, dry_run=dry_run)

    async def fork_run(
        self,
        run: str,
        spec: str,
        *,
        principal: str,
        step: int | None = None,
        undone: int | None = None,
        precedence: str = "",
        request_id: str = "",
        permit: Callable[[str], Awaitable[None]] | None = None,
    ) -> RunView:
        """Go on from a checkpoint of a run in another one; see `Branches.fork`."""
        return await self._branches.fork(
            run,
            spec,
            step=step,
            undone=undone,
            precedence=precedence,
            principal=principal,
            request_id=request_id,
            permit=permit,
        )

    # --- learning rates ------------------------------------------------------------------------

    async def change_learning_rate(
        self, run: str, change: Change, *, wait: bool = True
    ) -> ChangeResult:
        """Change the LR of a run's groups, or what makes it; see `Changes.make`."""
        return await self._changes.make(run, change, wait=wait)

    async def probe_learning_rates(
        self,
        run: str,
        learning_rates: Sequence[float],
        *,
        steps: int,
        groups: Sequence[str] = (),
        principal: str,
    ) -> ProbeReport:
        """Try LRs out from the present state, which comes back; see `Probes.make`."""
        return await self._probes.make(
            run, learning_rates, steps=steps, groups=groups, principal=principal
        )

    async def list_held_changes(self, run: str) -> list[HeldChange]:
        """Return the changes of a run that wait for approval; see `Changes.list_held`."""
        return await self._changes.list_held(run)

    async def approve_change(self, run: str, request_id: str, *, principal: str) -> ChangeResult:
        """Carry out a change that waits for approval; see `Changes.approve`."""
        return await self._changes.approve(run, request_id, principal=principal)

    def connect_policy(
        self, run: str, change: Change
    ) -> AbstractAsyncContextManager[PolicySession]:
        """Make whoever asks a policy of a run; see `Changes.connect_policy`."""
        return self._changes.connect_policy(run, change)

    async def explain(self, run: str, step: int | None = None) -> Explanation:
        """Say how the LRs of a run come about; see `Reader.explain`."""
        return await self._reader.explain(run, step)

    async def list_decisions(
        self, run: str, *, after_revision: int = 0, limit: int = _PAGE
    ) -> list[DecisionRecord]:
        """Return a page of a run's history, oldest first.

        Raises:
            NotFound: if there is no such run.
        """
        return await self._reader.decisions(run, after_revision=after_revision, limit=limit)
