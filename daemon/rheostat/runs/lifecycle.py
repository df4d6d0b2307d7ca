"""From queue to end: what happens to a run, step by step, as its trainer reports it."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog

import rheostat.errors
from rheostat.errors import InvalidRequest, RheostatError, StorageFailed, Violation
from rheostat.runs.link import LinkServer
from rheostat.runs.live import LiveRun
from rheostat.runs.messages import (
    Applied,
    Decided,
    Failed,
    Finished,
    Observed,
    Paused,
    Ready,
    Refused,
    Resumed,
    StopCommand,
    Telemetry,
    ToDaemon,
)
from rheostat.runs.records import Failure, Phase, Snapshot
from rheostat.runs.rows import follows, merge
from rheostat.runs.store import Store
from rheostat.runs.supervisor import Supervisor
from rheostat.steering.records import Verb

SAVE_ROWS_SECONDS = 1.0
"""Time between two writes of step rows: one disk sync a second, however fast the steps."""
_LAST_WORDS_SECONDS = 10.0

MAX_UNSAVED_BATCHES = 10_000
"""Batches of rows kept in memory while the disk takes none: some minutes."""

log = structlog.get_logger()


class Lifecycle:
    """Moves runs through their phases and keeps the store in step.

    One task per living run waits for its trainer's process; messages arrive in order on its
    connection, and each is handled to the end before the next, so a decision is on disk before its
    answer is passed on.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        stored: Callable[..., Awaitable[Any]],
        store: Store,
        max_concurrent_runs: int,
        clock: Callable[[], float],
    ) -> None:
        self.runs: dict[str, LiveRun] = {}
        """Runs of this daemon's life, by name."""
        self._supervisor = supervisor
        self._stored = stored
        self._store = store
        self._max_concurrent_runs = max_concurrent_runs
        self._clock = clock
        self._queue: deque[LiveRun] = deque()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._link = LinkServer(self.runs.get, self._handle)
        self._saver: asyncio.Task[None] | None = None
        self._is_draining = False

    async def start(self, *, continue_queue: bool) -> None:
        """Listen for trainers, fail what died with the last daemon, and queue what had waited.

        Without `continue_queue` that goes on waiting, for a daemon that lives long enough.
        """
        await self._link.start()
        for view in await self._stored(self._store.list_runs):
            if view.phase is Phase.QUEUED and continue_queue:
                self.enqueue(LiveRun(view))
            elif view.phase is Phase.QUEUED:
                self.runs[view.name] = LiveRun(view)
            elif not view.phase.is_final:
                run = self.runs[view.name] = LiveRun(view)
                text = f"the daemon ended while the run was {view.phase}; its trainer stopped too"
                await self._end(run, Phase.FAILED, failure=Failure(message=text))
        self._saver = asyncio.create_task(self._save_rows_forever(), name="row saver")

    def enqueue(self, run: LiveRun) -> None:
        """Put a run at the end of the queue."""
        self.runs[run.view.name] = run
        log.info("run.queued", run=run.view.name, principal=run.view.principal)
        self._queue.append(run)
        self._start_next()

    async def forget_queued(self, run: LiveRun) -> None:
        """End a run that never started."""
        if run in self._queue:
            self._queue.remove(run)
        run.update(phase=Phase.STOPPING)
        await self._end(run, Phase.STOPPED)

    async def trainer_gone(self, run: str) -> None:
        """Wait until a run that has ended has no process any more."""
        if run in self._tasks:
            await asyncio.wait([self._tasks[run]])

    async def drain(self, seconds: float) -> None:
        """Ask every trainer to stop, wait for that, and kill those that do not."""
        self._is_draining = True
        for name in self._tasks:
            self.runs[name].tell(StopCommand())
        tasks = list(self._tasks.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            if late:
                log.warning("drain.killing", trainers=len(late))
                for name in list(self._tasks):
                    self._supervisor.kill(name)
                await asyncio.wait(late)
        if self._saver is not None:
            self._saver.cancel()
        await self._link.stop()

    async def save_rows(self, run: LiveRun) -> None:
        """Write the step rows that have gathered since the last time."""
        rows, run.unsaved_rows = run.unsaved_rows, []
        while rows:
            count = next(
                (
                    index
                    for index in range(1, len(rows))
                    if not follows(rows[index], rows[index - 1])
                ),
                len(rows),
            )
            try:
                await self._stored(self._store.append_rows, run.view.name, merge(rows[:count]))
            except StorageFailed as error:
                # A full disk may have room again in a second; memory is not endless meanwhile.
                run.unsaved_rows = [*rows, *run.unsaved_rows][-MAX_UNSAVED_BATCHES:]
                log.error("rows.not_saved", run=run.view.name, why=str(error))
                return
            rows = rows[count:]

    def _start_next(self) -> None:
        while self._queue and len(self._tasks) < self._max_concurrent_runs:
            if self._is_draining:
                return
            run = self._queue.popleft()
            name = run.view.name
            run.update(phase=Phase.STARTING, started_at=self._clock())
            self._tasks[name] = asyncio.create_task(self._live(run), name=f"run {name}")

    async def _live(self, run: LiveRun) -> None:
        """See one run through, from its trainer's birth to its end."""
        name = run.view.name
        try:
            pid = await self._supervisor.start(name, run.view.spec, self._link.path, run.token)
            await self._save(run, pid=pid)
            log.info("run.starting", run=name, pid=pid)
            code = await self._supervisor.wait(name)
            await self._link.is_drained(name, _LAST_WORDS_SECONDS)
            if not run.is_ended_by_trainer:
                failure = run.broken or self._supervisor.post_mortem(name, code)
                await self._end(run, Phase.FAILED, failure=failure)
        except Exception as error:
            log.exception("run.lost", run=name)
            await self._end(run, Phase.FAILED, failure=Failure(message=f"the daemon: {error}"))
        finally:
            del self._tasks[name]
            self._start_next()

    async def _handle(self, run: LiveRun, message: ToDaemon) -> None:
        match message:
            case Telemetry():
                if message.rows is not None:
                    run.durations.observe_many(message.rows.duration)
                    run.unsaved_rows.append(message.rows)
                run.time_policies(message.policy_durations)
                self._warn_of_policies(run, message.snapshot)
                run.see(message.snapshot)
            case Decided():
                await self._write_down(run, message)
            case Observed():
                run.hear(message.policy, message.observation)
            case Applied():
                run.answer(message.command_id, message.decision)
            case Refused():
                run.answer(message.command_id, _error(message))
            case Ready():
                await self._ready(run, message)
            case Paused():
                await self._save(run, phase=Phase.PAUSED)
            case Resumed():
                await self._save(run, phase=Phase.RUNNING)
            case Finished():
                run.is_ended_by_trainer = True
                phase = Phase.STOPPED if message.stopped else Phase.SUCCEEDED
                await self._end(run, phase, result=message.result)
            case Failed():
                run.is_ended_by_trainer = True
                await self._end(run, Phase.FAILED, failure=message.failure)

    async def _ready(self, run: LiveRun, ready: Ready) -> None:
        for warning in ready.warnings:
            log.warning("run.warning", run=run.view.name, text=warning)
        await self._save(
            run, phase=Phase.RUNNING, steps=ready.steps, groups=ready.groups, device=ready.device
        )
        log.info("run.running", run=run.view.name, steps=ready.steps, device=ready.device)

    async def _write_down(self, run: LiveRun, decided: Decided) -> None:
        """Make decisions durable; only then do watchers and whoever asked hear of them."""
        name = run.view.name
        try:
            await self._stored(self._store.append_decisions, name, decided.decisions)
        except StorageFailed as error:
            # A change nobody can account for must not go on acting: the cut link ends the trainer.
            text = f"the run was stopped because its history cannot be written: {error}"
            run.broken = Failure(message=text)
            raise
        for one in decided.decisions:
            run.note(one)
            log.info(
                "learning_rate.changed",
                run=name,
                revision=one.revision,
                applied_step=one.applied_step,
                source=one.source,
                verb=one.verb,
                principal=one.principal,
                reason=one.reason,
                guardrails=list(one.guardrails),
                groups={group.name: [group.old, group.new] for group in one.groups},
            )
        run.update(revision=decided.decisions[-1].revision)
        horizons = [one.edit for one in decided.decisions if one.verb == Verb.HORIZON]
        if horizons and horizons[-1] is not None:
            await self._save(run, steps=horizons[-1].steps)

    def _warn_of_policies(self, run: LiveRun, snapshot: Snapshot) -> None:
        """Log what a policy failed with, once per new text."""
        before = run.view.snapshot.policies if run.view.snapshot else ()
        known = {policy.name: policy.failure for policy in before}
        for policy in snapshot.policies:
            if policy.failure and known.get(policy.name) != policy.failure:
                log.warning(
                    "policy.failed", run=run.view.name, policy=policy.name, why=policy.failure
                )

    async def _end(self, run: LiveRun, phase: Phase, **fields: object) -> None:
        """Take a run to its final phase, in everybody's eyes even where the disk takes nothing."""
        await self.save_rows(run)
        fields |= {"phase": phase, "finished_at": self._clock(), "pid": None}
        try:
            await self._save(run, **fields)
        except StorageFailed as error:
            log.error("run.not_saved", run=run.view.name, why=str(error))
            run.update(**fields)
        run.end_pending()
        failure = run.view.failure
        log.info(
            "run.ended", run=run.view.name, phase=phase, why=failure.message if failure else ""
        )

    async def _save(self, run: LiveRun, **fields: Any) -> None:
        """Change a run's view in the store first, then in everybody's eyes."""
        await self._stored(self._store.save_run, msgspec.structs.replace(run.view, **fields))
        run.update(**fields)

    async def _save_rows_forever(self) -> None:
        while True:
            await asyncio.sleep(SAVE_ROWS_SECONDS)
            for run in list(self.runs.values()):
                if run.unsaved_rows:
                    await self.save_rows(run)
                    await self._save_snapshot(run)

    async def _save_snapshot(self, run: LiveRun) -> None:
        """Let the next daemon know where a run stood that dies with this one."""
        try:
            await self._stored(self._store.save_snapshot, run.view.name, run.view.snapshot)
        except StorageFailed as error:
            log.error("snapshot.not_saved", run=run.view.name, why=str(error))


def _error(refused: Refused) -> RheostatError:
    """Rebuild the error that the trainer's steering raised."""
    kind = getattr(rheostat.errors, refused.kind, RheostatError)
    if issubclass(kind, InvalidRequest):
        return kind(Violation(one.field, one.value, one.expected) for one in refused.violations)
    error: RheostatError = kind(refused.message)
    return error
