"""What trainers say, and what follows from it."""

import structlog

import rheostat.errors
from rheostat.errors import BrokenChain, InvalidRequest, RheostatError, Violation
from rheostat.runs.keeping import Keeper
from rheostat.runs.live import LiveRun
from rheostat.runs.messages import (
    Applied,
    Decided,
    Evaluated,
    Failed,
    Finished,
    Hello,
    Kept,
    Observed,
    Offended,
    Paused,
    Probed,
    Ready,
    Refused,
    Released,
    Resumed,
    Saved,
    SaveFailed,
    Telemetry,
    ToDaemon,
    Warned,
)
from rheostat.runs.records import Failure, Phase, Snapshot

log = structlog.get_logger()


class Hearing:
    """Takes messages in their order, each to the end before the next.

    So a decision is on the disk before its answer is passed on, and a trainer is let go when its
    last words are.
    """

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    async def greet(self, run: LiveRun, hello: Hello) -> None:
        """Take a trainer that has just called."""
        fields: dict[str, object] = {"pid": hello.pid}
        if hello.is_paused and run.view.phase in {Phase.STARTING, Phase.RUNNING}:
            fields |= {"phase": Phase.PAUSED}
        if hello.lost_rows:
            text = f"{hello.lost_rows} rows of steps were dropped while no daemon took them"
            await self._keeper.tell(run, "rows_lost", text)
        await self._keeper.show(run, **fields)
        log.info("trainer.connected", run=run.view.name, pid=hello.pid, step=hello.step)

    async def handle(self, run: LiveRun, message: ToDaemon) -> None:
        """Do what a message of a run's trainer asks for, or tell what it tells."""
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
            case Offended():
                store = self._keeper.store
                await self._keeper.stored(store.add_offences, run.view.name, message.offences)
            case Observed():
                run.hear(message.policy, message.observation)
            case Kept():
                await self._keep(run, message)
            case Applied():
                run.errands.answer(message.command_id, message.decision)
            case Refused():
                await self._refuse(run, message)
            case Evaluated() | Probed():
                run.errands.answer(message.command_id, message)
            case Saved():
                self._saved(run, message)
            case SaveFailed():
                await self._save_failed(run, message)
            case Warned():
                await self._keeper.tell(run, "warned", message.text)
            case Ready():
                await self._ready(run, message)
            case Paused():
                await self._keeper.show(run, phase=Phase.PAUSED)
            case Resumed():
                await self._keeper.show(run, phase=Phase.RUNNING)
            case Finished():
                await self._finished(run, message)
            case Failed():
                run.failure = message.failure
                await self._keeper.save_rows(run)
                run.order(Released())

    async def _ready(self, run: LiveRun, ready: Ready) -> None:
        for warning in ready.warnings:
            log.warning("run.warning", run=run.view.name, text=warning)
        phase = Phase.PAUSED if run.view.phase is Phase.PAUSED else Phase.RUNNING
        # Once it is known, only a decision changes it: a trainer may be back before that one.
        steps = run.view.steps or ready.steps
        await self._keeper.show(
            run, phase=phase, steps=steps, groups=ready.groups, device=ready.device
        )
        log.info("run.running", run=run.view.name, steps=steps, device=ready.device)

    async def _write_down(self, run: LiveRun, decided: Decided) -> None:
        try:
            await self._keeper.write_down(run, decided)
        except BrokenChain as error:
            # Two histories: whatever this trainer goes on to do, nobody could account for it.
            run.failure = Failure(
                message=f"the trainer's history is not the one that is written down: {error}",
                kind="BrokenChain",
            )
            raise

    async def _keep(self, run: LiveRun, kept: Kept) -> None:
        change = run.errands.admit(kept.command_id)
        if change is not None:
            store = self._keeper.store
            await self._keeper.stored(store.replace_change, run.view.name, change)

    async def _refuse(self, run: LiveRun, refused: Refused) -> None:
        errand = run.errands.find(refused.command_id)
        if errand is not None and errand.change is not None and errand.change.at_step is not None:
            store, request_id = self._keeper.store, errand.change.request_id
            await self._keeper.stored(store.drop_change, run.view.name, request_id)
        run.errands.answer(refused.command_id, _error(refused))

    def _saved(self, run: LiveRun, saved: Saved) -> None:
        run.checkpoint = saved.info
        run.count_checkpoint("saved")
        run.checkpoint_durations.observe_many([saved.seconds])
        log.info(
            "checkpoint.saved",
            run=run.view.name,
            step=saved.info.step,
            reason=saved.info.reason,
            seconds=saved.seconds,
            stalled=saved.stalled,
        )
        if saved.command_id is not None:
            run.errands.answer(saved.command_id, saved.info)

    async def _save_failed(self, run: LiveRun, failed: SaveFailed) -> None:
        run.count_checkpoint("failed")
        text = f"no checkpoint of step {failed.step}: {failed.message}"
        await self._keeper.tell(run, "checkpoint_failed", text)
        if failed.command_id is not None:
            run.errands.answer(failed.command_id, rheostat.errors.StorageFailed(text))

    async def _finished(self, run: LiveRun, finished: Finished) -> None:
        """End the run, or put it by for the next daemon where nobody has asked for its end."""
        if run.is_over:
            run.order(Released())
            return
        is_ours = not run.view.attached
        if is_ours and finished.stopped and run.view.phase is not Phase.STOPPING:
            await self._keeper.save_rows(run)
            text = f"it was put by after {finished.result.steps} steps, to go on from there"
            await self._keeper.tell(run, "suspended", text, phase=Phase.QUEUED, pid=None)
            run.let_go()
            run.order(Released())
            return
        phase = Phase.STOPPED if finished.stopped else Phase.SUCCEEDED
        if await self._keeper.end(run, phase, result=finished.result):
            run.order(Released())

    def _warn_of_policies(self, run: LiveRun, snapshot: Snapshot) -> None:
        """Log what a policy failed with, once per new text."""
        before = run.view.snapshot.policies if run.view.snapshot else ()
        known = {policy.name: policy.failure for policy in before}
        for policy in snapshot.policies:
            if policy.failure and known.get(policy.name) != policy.failure:
                log.warning(
                    "policy.failed", run=run.view.name, policy=policy.name, why=policy.failure
                )


def _error(refused: Refused) -> RheostatError:
    """Rebuild the error that the trainer's steering raised."""
    kind = getattr(rheostat.errors, refused.kind, RheostatError)
    if issubclass(kind, InvalidRequest):
        return kind(Violation(one.field, one.value, one.expected) for one in refused.violations)
    error: RheostatError = kind(refused.message)
    return error
