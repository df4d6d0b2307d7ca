"""What an operator orders of a whole run: to stand still, to go on, to end, to be forgotten."""

import asyncio

import msgspec
import structlog

from rheostat.errors import FailedPrecondition
from rheostat.runs.keeping import Keeper
from rheostat.runs.lifecycle import Lifecycle
from rheostat.runs.messages import PauseCommand, ResumeCommand, StopCommand
from rheostat.runs.reading import Reader
from rheostat.runs.records import LIVING, Phase, RunView
from rheostat.runs.restarting import TrackRecord
from rheostat.runs.script_forks import how_to_begin
from rheostat.runs.supervisor import Supervisor

log = structlog.get_logger()


class Orders:
    """Pauses, resumes, stops and deletes runs."""

    def __init__(
        self, reader: Reader, keeper: Keeper, lifecycle: Lifecycle, supervisor: Supervisor
    ) -> None:
        self._reader = reader
        self._keeper = keeper
        self._lifecycle = lifecycle
        self._supervisor = supervisor

    async def pause(self, run: str, *, principal: str) -> RunView:
        """Let the run stand still before its next step; return once it does.

        A run that is starting stands still before its first.

        Raises:
            NotFound, FailedPrecondition: if there is no such run, or it neither starts nor trains.
        """
        live = await self._reader.living(run, *LIVING, to="be paused")
        log.info("run.pause", run=run, principal=principal)
        await self._keeper.show(live, is_paused=True)
        if live.view.phase is not Phase.PAUSED:
            live.order(PauseCommand())
        return await live.reach(Phase.PAUSED)

    async def resume(self, run: str, *, principal: str) -> RunView:
        """Let a run go on; return once it does, or is in the queue.

        One that is paused goes on at once. One that was stopped, has failed or was put by goes to
        the end of the queue, and from there on with its newest good checkpoint; without any it
        begins anew, and what was decided is decided again at the same steps. One that is stopping
        is awaited first.

        Raises:
            NotFound, FailedPrecondition: if there is no such run, or it has succeeded.
        """
        view = await self._reader.get(run)
        if view.phase is Phase.STOPPING:
            view = await self._lifecycle.runs[run].reach()
        if view.awaits_script:
            raise FailedPrecondition(f"run {run} has not begun. {how_to_begin(run)}")
        if view.attached and view.phase.is_final:
            raise FailedPrecondition(
                f"run {run} is {view.phase}, and trained by a script of its own: start that again, "
                f"with rheostat.attach(..., name={run!r}, resume=True)"
            )
        log.info("run.resume", run=run, principal=principal)
        if view.phase in {Phase.STOPPED, Phase.FAILED, Phase.QUEUED}:
            return await self._requeue(view)
        live = await self._reader.living(run, *LIVING, to="be resumed")
        is_to_pause = live.view.is_paused
        await self._keeper.show(live, is_paused=False)
        if is_to_pause or live.view.phase is Phase.PAUSED:
            live.order(ResumeCommand())
        return await live.reach(Phase.RUNNING)

    async def stop(self, run: str, *, principal: str) -> RunView:
        """Ask a run to end at its next step boundary, validated and saved; return at once.

        Raises:
            NotFound, FailedPrecondition: if there is no such run, or it has ended.
        """
        unfinished = [phase for phase in Phase if not phase.is_final]
        live = await self._reader.living(run, *unfinished, to="stop")
        log.info("run.stop", run=run, principal=principal)
        if live.view.phase is Phase.QUEUED:
            await self._lifecycle.forget_queued(live)
        elif live.view.phase is not Phase.STOPPING:
            await self._keeper.show(live, phase=Phase.STOPPING)
            live.order(StopCommand())
        return live.view

    async def delete(self, run: str, *, principal: str) -> None:
        """Delete a run that has ended, with its history, its checkpoints and its other files.

        Raises:
            NotFound, FailedPrecondition: if there is no such run, or it has not ended.
        """
        view = await self._reader.get(run)
        if not view.phase.is_final:
            raise FailedPrecondition(f"run {run} is {view.phase}; stop it before you delete it")
        log.info("run.delete", run=run, principal=principal)
        await self._lifecycle.trainer_gone(run)
        await self._keeper.stored(self._keeper.store.delete_run, run)
        self._lifecycle.runs.pop(run, None)
        await asyncio.to_thread(self._supervisor.delete_files, run)

    async def _requeue(self, view: RunView) -> RunView:
        """Put a run that has a past back into the queue, unless it is there."""
        live = self._lifecycle.runs.get(view.name)
        if live is not None and self._lifecycle.is_waiting(live):
            return view
        await self._lifecycle.trainer_gone(view.name)
        run = await self._lifecycle.load(
            msgspec.structs.replace(
                view,
                phase=Phase.QUEUED,
                queued_at=self._keeper.clock(),
                is_paused=False,
                finished_at=None,
                result=None,
                failure=None,
            )
        )
        run.record = TrackRecord(reached=run.record.reached)
        await self._keeper.save(run)
        await self._keeper.save_trainer(run)
        self._lifecycle.enqueue(run)
        return run.view
