"""From queue to end: which runs train, and what the daemon finds and leaves of them."""

import asyncio

import msgspec
import structlog

from rheostat.errors import BrokenChain
from rheostat.runs.checkpoints import list_checkpoints
from rheostat.runs.hearing import Hearing
from rheostat.runs.keeping import Keeper
from rheostat.runs.link import LinkServer
from rheostat.runs.live import LiveRun
from rheostat.runs.messages import ToDaemon
from rheostat.runs.records import STEERING, Failure, Phase, RunView
from rheostat.runs.restarting import RestartPolicy
from rheostat.runs.supervisor import Supervisor
from rheostat.runs.tending import Tender

_KILL_AGAIN_SECONDS = 0.1

log = structlog.get_logger()


class Lifecycle:
    """Moves runs through their phases and keeps the store in step.

    One task per living run sees it through its trainers; messages arrive in order on a trainer's
    connection.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        keeper: Keeper,
        *,
        max_concurrent_runs: int,
        restarts: RestartPolicy,
        patience: float | None,
    ) -> None:
        self.runs: dict[str, LiveRun] = {}
        """Runs of this daemon's life, by name."""
        self._supervisor = supervisor
        self._keeper = keeper
        self._max_concurrent_runs = max_concurrent_runs
        self._queue: list[LiveRun] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._hearing = Hearing(keeper)
        self._link = LinkServer(
            supervisor.link_file, self.runs.get, self._hearing.greet, self._handle
        )
        self._tender = Tender(
            supervisor, self._link, keeper, self._hearing, policy=restarts, patience=patience
        )
        self._chores: list[asyncio.Task[None]] = []
        self._is_draining = False

    async def start(self, *, continue_queue: bool) -> None:
        """Listen for trainers, find those that live, and go on with what waits.

        Without `continue_queue` what waits, and what has lost its trainer, goes on waiting, for a
        daemon that lives long enough; and trainers that live are only watched.
        """
        store = self._keeper.store
        for view in await self._keeper.stored(store.list_runs):
            if not view.phase.is_final:
                self.runs[view.name] = await self.load(view)
        await self._link.start()
        for run in self.runs.values():
            if run.view.awaits_script:
                continue
            if run.view.attached:
                self._tend(run, was_begun=True)
            elif run.view.phase is not Phase.QUEUED:
                run.is_only_watched = not continue_queue
                # Of what starts, and has no process, a daemon before has judged the death already.
                was_judged = run.view.phase is Phase.STARTING and run.view.pid is None
                self._tend(run, was_begun=run.is_only_watched or not was_judged)
            elif continue_queue:
                self._queue.append(run)
        self._chores = [
            asyncio.create_task(
                self._keeper.save_rows_forever(lambda: list(self.runs.values())), name="row saver"
            ),
            asyncio.create_task(self._tender.watch_for_halted(self.runs), name="halted"),
        ]
        self._start_next()

    async def load(self, view: RunView) -> LiveRun:
        """Return a run with everything that is kept of it."""
        keeper, store, name = self._keeper, self._keeper.store, view.name
        # A daemon may have died between the decision and the view that shows it.
        origin = view.origin
        since = origin.revision if origin is not None and STEERING in origin.anew else 0
        planned = await keeper.stored(store.planned_steps, name, since)
        view = msgspec.structs.replace(view, steps=planned or view.steps)
        token, record = await keeper.stored(store.get_trainer, name)
        run = LiveRun(view, token, record)
        run.next_row = await keeper.stored(store.next_row, name)
        run.changes = await keeper.stored(store.count_decisions_by_source, name)
        for change in await keeper.stored(store.list_changes, name):
            run.errands.ask_for(change)
        found = await asyncio.to_thread(list_checkpoints, self._supervisor.checkpoints_of(name))
        run.checkpoint = found[-1] if found else None
        return run

    def enqueue(self, run: LiveRun) -> None:
        """Put a run into the queue."""
        self.runs[run.view.name] = run
        log.info("run.queued", run=run.view.name, principal=run.view.principal)
        self._queue.append(run)
        self._start_next()

    def keep_for_script(self, run: LiveRun) -> None:
        """Let a run wait, beside the queue, until somebody starts a script for it."""
        self.runs[run.view.name] = run

    def await_script(self, run: LiveRun) -> None:
        """See a run through that a script of the user's own trains, from its first call on."""
        self.runs[run.view.name] = run
        log.info("run.attached", run=run.view.name, principal=run.view.principal)
        self._tend(run)

    def is_waiting(self, run: LiveRun) -> bool:
        """Whether a run is in the queue of this daemon."""
        return run in self._queue

    async def forget_queued(self, run: LiveRun) -> None:
        """End a run that waits."""
        if run in self._queue:
            self._queue.remove(run)
        run.update(phase=Phase.STOPPING)
        await self._keeper.end(run, Phase.STOPPED)

    async def trainer_gone(self, run: str) -> None:
        """Wait until a run that has ended has no process any more."""
        if run in self._tasks:
            await asyncio.wait([self._tasks[run]])

    async def drain(self, seconds: float) -> None:
        """Put every run by at its next step, wait for that, and kill trainers that do not listen.

        The next daemon goes on with them. Trainers that are only watched train on, and so do
        scripts of the user's own.
        """
        self._is_draining = True
        for name, task in self._tasks.items():
            run = self.runs[name]
            if run.is_only_watched or run.view.attached:
                task.cancel()
                run.let_go()
            else:
                run.suspend()
        tasks = list(self._tasks.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            if late:
                log.warning("drain.killing", trainers=len(late))
                while self._tasks:  # one may just be starting a trainer
                    for name in list(self._tasks):
                        self._kill(name)
                    await asyncio.wait(late, timeout=_KILL_AGAIN_SECONDS)
        for chore in self._chores:
            chore.cancel()
        await self._link.stop()

    async def save_rows(self, run: LiveRun) -> None:
        """Write the step rows that have gathered since the last time."""
        await self._keeper.save_rows(run)

    def _start_next(self) -> None:
        while self._queue and self._training() < self._max_concurrent_runs:
            if self._is_draining:
                return
            run = min(self._queue, key=lambda one: (-one.view.priority, one.view.queued_at))
            self._queue.remove(run)
            started_at = run.view.started_at or self._keeper.clock()
            run.update(phase=Phase.STARTING, started_at=started_at)
            self._tend(run)

    def _training(self) -> int:
        """Return how many runs have a trainer of ours, or are about to."""
        return sum(not self.runs[name].view.attached for name in self._tasks)

    def _kill(self, name: str) -> None:
        """End a run's trainer; a script is not ours to end."""
        if not self.runs[name].view.attached:
            self._supervisor.kill(name)

    def _tend(self, run: LiveRun, *, was_begun: bool = False) -> None:
        name = run.view.name
        living = self._live(run, was_begun=was_begun)
        self._tasks[name] = asyncio.create_task(living, name=f"run {name}")

    async def _live(self, run: LiveRun, *, was_begun: bool) -> None:
        """See one run through."""
        name = run.view.name
        try:
            await self._tender.see_through(run, was_begun=was_begun)
        except Exception as error:
            log.exception("run.lost", run=name)
            failure = Failure(message=f"the daemon: {error}")
            await self._keeper.end(run, Phase.FAILED, failure=failure)
        finally:
            del self._tasks[name]
            self._start_next()

    async def _handle(self, run: LiveRun, message: ToDaemon) -> None:
        run.heard_at = asyncio.get_running_loop().time()
        try:
            await self._hearing.handle(run, message)
        except BrokenChain:
            self._kill(run.view.name)
            raise
