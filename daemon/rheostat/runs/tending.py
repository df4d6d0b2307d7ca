"""One run seen through its trainers: the first is started, one that has died gets a successor."""

import asyncio
from collections.abc import Sequence

import structlog

from rheostat.errors import FailedPrecondition, RheostatError
from rheostat.runs import letters
from rheostat.runs.checkpoints import CheckpointInfo, newest_good, set_aside
from rheostat.runs.hearing import Hearing
from rheostat.runs.keeping import Keeper
from rheostat.runs.lineage import rollbacks, surviving
from rheostat.runs.link import LinkServer
from rheostat.runs.live import LiveRun
from rheostat.runs.messages import Hello
from rheostat.runs.records import Failure, Phase
from rheostat.runs.restarting import Death, Reason, RestartPolicy
from rheostat.runs.script_forks import how_to_begin
from rheostat.runs.starting import StartOrder
from rheostat.runs.supervisor import Supervisor
from rheostat.steering.records import Decision

_LAST_WORDS_SECONDS = 10.0
_HALTED_SECONDS = 5.0
_PAGE = 1000
_FIRST_CALL_SECONDS = 60.0
"""In which a script that was attached must call."""
_LOOK_SECONDS = 0.1

log = structlog.get_logger()


class Tender:
    """Keeps a trainer at work on a run until the run ends or is put by.

    Args:
        supervisor: starts and ends processes.
        link: is called by them.
        keeper: writes down what happens.
        hearing: takes the letters of those that have ended.
        policy: decides who gets a successor.
        patience: seconds that a trainer may train on without any daemon; None is for ever.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        link: LinkServer,
        keeper: Keeper,
        hearing: Hearing,
        *,
        policy: RestartPolicy,
        patience: float | None,
    ) -> None:
        self._supervisor = supervisor
        self._link = link
        self._keeper = keeper
        self._hearing = hearing
        self._policy = policy
        self._patience = patience

    async def see_through(self, run: LiveRun, *, was_begun: bool = False) -> None:
        """See a run to its end, or to the daemon's.

        Args:
            run: what is to be trained.
            was_begun: whether it trained when an earlier daemon ended, so that it has a trainer,
                living or dead.
        """
        name = run.view.name
        if run.view.attached:
            await self._see_script(run, was_begun=was_begun)
            return
        while True:
            code: int | None = None
            if self._supervisor.is_living(name):
                await self._adopt(run)
            elif not was_begun:
                order = await self._order(run)
                if await self._is_over(run):
                    return
                code = await self._start(run, order)
            was_begun = False
            await self._read_letter(run)
            if await self._is_over(run) or not await self._may_restart(run, code):
                return

    async def _see_script(self, run: LiveRun, *, was_begun: bool) -> None:
        """See a run through that a script of the user's own trains; it gets no successor."""
        name, loop = run.view.name, asyncio.get_running_loop()
        run.begin(first_step=run.step)
        deadline = loop.time() + _FIRST_CALL_SECONDS
        while not was_begun and run.view.pid is None and not run.is_over:
            if self._supervisor.is_living(name) or loop.time() > deadline:
                break
            await asyncio.sleep(_LOOK_SECONDS)
        await self._supervisor.wait(name)
        await self._link.is_drained(name, _LAST_WORDS_SECONDS)
        await self._read_letter(run)
        if run.is_over:
            return
        if run.view.phase is Phase.STOPPING:
            await self._keeper.end(run, Phase.STOPPED)
            return
        failure = run.failure or Failure(message=_vanished(run), kind="Lost")
        if run.view.begins_at_checkpoint:
            text = (
                f"its script ended before its first step: {failure.message}; {how_to_begin(name)}"
            )
            await self._keeper.tell(run, "waiting", text, phase=Phase.QUEUED, pid=None)
            run.end_pending()
            return
        await self._keeper.end(run, Phase.FAILED, failure=failure)

    async def _is_over(self, run: LiveRun) -> bool:
        """Whether the run needs no more trainers here; ends it, or puts it by, if that is so."""
        if not run.is_over and run.view.phase is Phase.STOPPING:
            await self._keeper.end(run, Phase.STOPPED)
        elif not run.is_over and (run.is_suspending or run.is_only_watched):
            await self._put_by(run)
        return run.is_over

    async def _start(self, run: LiveRun, order: StartOrder) -> int | None:
        """Start a trainer; return its exit code."""
        name = run.view.name
        await self._keeper.save_trainer(run)
        await self._keeper.save(run, phase=Phase.STARTING, attempt=order.attempt)
        # What was left and could not be taken is of a future that is given up with this.
        await asyncio.to_thread(letters.set_aside, self._supervisor.folder_of(name))
        pid = await self._supervisor.start(name, run.view.spec, order, run.token)
        await self._keeper.save(run, pid=pid)
        log.info("run.starting", run=name, pid=pid, attempt=order.attempt, step=run.first_step)
        code = await self._supervisor.wait(name)
        await self._link.is_drained(name, _LAST_WORDS_SECONDS)
        return code

    async def _adopt(self, run: LiveRun) -> None:
        """Take over a trainer that has outlived its daemon, and wait for its end."""
        name = run.view.name
        pid = self._supervisor.pid_of(name)
        run.begin(first_step=0)
        text = f"its trainer, process {pid}, had trained on without a daemon"
        await self._keeper.tell(run, "adopted", text, pid=pid)
        await self._supervisor.wait(name)
        await self._link.is_drained(name, _LAST_WORDS_SECONDS)

    async def _order(self, run: LiveRun) -> StartOrder:
        """Work out where the next trainer begins, and what is decided from there on."""
        store, name, origin = self._keeper.store, run.view.name, run.view.origin
        history = await self._decisions(name)
        turns = rollbacks(history)
        await self._set_aside(name, turns)
        checkpoint = await self._newest_checkpoint(run)
        run.checkpoint = checkpoint
        revision = checkpoint.revision if checkpoint else 0
        step = checkpoint.step if checkpoint else 0
        run.begin(first_step=step)
        until = origin.until if origin else None
        decisions = [one for one in surviving(history) if one.revision > revision]
        done = max(run.next_row, _steps_told(run, turns), until or 0)
        newest = max((decision.applied_step for decision in decisions), default=-1)
        # From there on policies are asked anew, and may answer in time; what the observation of a
        # step leads to acts at the next.
        anew = max(newest, done - 1, step)
        await self._keeper.stored(store.drop_offences, name, from_step=anew)
        return StartOrder(
            attempt=run.view.attempt + 1,
            checkpoint=checkpoint.path if checkpoint else None,
            decisions=tuple(decisions),
            offences=tuple(
                await self._keeper.stored(store.list_offences, name, from_step=max(step - 1, 0))
            ),
            steps_done=done,
            anew=origin.anew if origin is not None and step == origin.step else (),
            until=until,
            patience=self._patience,
        )

    async def _newest_checkpoint(self, run: LiveRun) -> CheckpointInfo | None:
        folder = self._supervisor.checkpoints_of(run.view.name)
        found, refused = await asyncio.to_thread(newest_good, folder)
        for text in refused:
            run.count_checkpoint("refused")
            where = f"the one of step {found.step} is used" if found else "the run begins anew"
            await self._keeper.tell(run, "checkpoint_refused", f"{text}; {where}")
        origin = run.view.origin
        if found is None and origin is not None and origin.step:
            raise FailedPrecondition(
                f"the checkpoint of step {origin.step} of run {origin.run}, with which this run "
                "begins, is gone: make it again"
            )
        return found

    async def _set_aside(self, run: str, turns: Sequence[Decision]) -> None:
        """Put checkpoints aside that are undone: a trainer may have died before it did."""
        folder = self._supervisor.checkpoints_of(run)
        for one in turns:
            assert one.rollback is not None
            await asyncio.to_thread(set_aside, folder, one.rollback.to_step, one.revision)

    async def _decisions(self, run: str) -> list[Decision]:
        decisions: list[Decision] = []
        store, revision = self._keeper.store, 0
        while page := await self._keeper.stored(store.list_decisions, run, revision, _PAGE):
            decisions += [record.decision for record in page]
            revision = decisions[-1].revision
        return decisions

    async def _read_letter(self, run: LiveRun) -> None:
        """Hear what a trainer has written that found no daemon to tell."""
        folder = self._supervisor.folder_of(run.view.name)
        messages = await asyncio.to_thread(letters.read, folder)
        try:
            for message in messages:
                if not isinstance(message, Hello):
                    await self._hearing.handle(run, message)
            await self._keeper.save_rows(run)
        except RheostatError as error:
            log.error("letter.refused", run=run.view.name, why=str(error))
        else:
            await asyncio.to_thread(letters.burn, folder)

    async def _may_restart(self, run: LiveRun, code: int | None) -> bool:
        """Wait until the next trainer may start; False, and the end of the run, if none may."""
        death = self._death(run, code)
        run.record, delay = self._policy.judge(run.record, death)
        await self._keeper.save_trainer(run)
        if delay is None:
            await self._keeper.end(run, Phase.FAILED, failure=self._why(run, death))
            return False
        reasons = run.view.restarts
        restarts = {**reasons, death.reason: reasons.get(death.reason, 0) + 1}
        text = f"{death.failure.message} (after {run.step} steps); another starts in {delay:g} s"
        await self._keeper.tell(
            run, "restarted", text, restarts=restarts, phase=Phase.STARTING, pid=None
        )
        await run.sleep(delay)
        return not await self._is_over(run)

    def _death(self, run: LiveRun, code: int | None) -> Death:
        told = run.failure
        reason: Reason
        if told is not None:
            reason = "failed"
        elif code is None:
            reason = "lost"
        else:
            reason = "killed" if code < 0 else "exited"
        return Death(
            reason=reason,
            failure=told or self._supervisor.post_mortem(run.view.name, code),
            step=run.step,
            has_stepped=run.has_stepped,
        )

    def _why(self, run: LiveRun, death: Death) -> Failure:
        if death.would_repeat or run.record.fruitless <= 1:
            return death.failure
        return Failure(
            message=f"{death.failure.message}; it was the last of {run.record.fruitless} trainers "
            f"in a row that got no farther than step {run.record.reached}",
            kind=death.failure.kind,
            traceback=death.failure.traceback,
            violations=death.failure.violations,
        )

    async def _put_by(self, run: LiveRun) -> None:
        text = f"it has no trainer after {run.step} steps; the next daemon goes on with it"
        await self._keeper.save_rows(run)
        await self._keeper.tell(run, "suspended", text, phase=Phase.QUEUED, pid=None)
        run.let_go()

    async def watch_for_halted(self, runs: dict[str, LiveRun]) -> None:
        """Tell of trainers that a signal has made stand still; nothing else waits for them."""
        told: set[str] = set()
        while True:
            await asyncio.sleep(_HALTED_SECONDS)
            now = asyncio.get_running_loop().time()
            for name, run in list(runs.items()):
                is_silent = run.view.pid is not None and now - run.heard_at > _HALTED_SECONDS
                if not (is_silent and self._supervisor.is_halted(name)):
                    told.discard(name)
                elif name not in told:
                    told.add(name)
                    text = f"a signal has halted its trainer; to go on: kill -CONT {run.view.pid}"
                    await self._keeper.tell(run, "halted", text)


def _vanished(run: LiveRun) -> str:
    if run.view.pid is None:
        return f"the script did not call within {_FIRST_CALL_SECONDS:g} s of being attached"
    return (
        f"the script, process {run.view.pid}, vanished without a word after {run.step} steps "
        "(killed?); to go on: start it again with resume=True"
    )


def _steps_told(run: LiveRun, turns: Sequence[Decision]) -> int:
    """Return how many steps somebody has been told are done, and no rollback has undone."""
    snapshot = run.view.snapshot
    if snapshot is None or (turns and snapshot.revision < turns[-1].revision):
        return 0
    return snapshot.step
