"""A run on the disk and in memory: what is told of it is written down first."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

import msgspec
import structlog

from rheostat.errors import StorageFailed
from rheostat.runs.lineage import planned_steps
from rheostat.runs.live import LiveRun
from rheostat.runs.messages import Acknowledged, Decided
from rheostat.runs.records import Phase, RunEvent
from rheostat.runs.rows import end_of, follows, merge
from rheostat.runs.store import Store
from rheostat.steering.records import Decision, RollbackEdit

SAVE_ROWS_SECONDS = 1.0
"""Time between two writes of step rows: one disk sync a second, however fast the steps."""
MAX_UNSAVED_BATCHES = 10_000
"""Batches of rows kept in memory while the disk takes none: some minutes."""
MAX_EVENTS = 50
"""Newest events kept of a run."""

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger()


class Keeper:
    """Writes down what happens to runs, and lets everybody see it after that."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self.store = store
        self.clock = clock
        """Seconds since the epoch."""
        # One thread: the store is not made for more, and writes keep their order.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")

    async def stored(self, operation: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a store operation on the store's thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: operation(*args, **kwargs))

    async def close(self) -> None:
        """Close the store; nothing else may be called after."""
        await self.stored(self.store.close)
        self._thread.shutdown()

    async def save(self, run: LiveRun, **fields: Any) -> None:
        """Change a run's view in the store first, then in everybody's eyes."""
        await self.stored(self.store.save_run, msgspec.structs.replace(run.view, **fields))
        run.update(**fields)

    async def show(self, run: LiveRun, **fields: Any) -> bool:
        """Change a run's view in everybody's eyes, and in the store if that takes it now.

        Returns:
            Whether it has.
        """
        try:
            await self.save(run, **fields)
        except StorageFailed as error:
            log.error("run.not_saved", run=run.view.name, why=str(error))
            run.update(**fields)
            return False
        return True

    async def tell(self, run: LiveRun, kind: str, message: str, **fields: Any) -> None:
        """Note that something has happened to a run, with other changes to its view."""
        log.warning(f"run.{kind}", run=run.view.name, text=message)
        event = RunEvent(time=self.clock(), kind=kind, message=message)
        await self.show(run, events=(*run.view.events[1 - MAX_EVENTS :], event), **fields)

    async def save_trainer(self, run: LiveRun) -> None:
        """Keep what the next daemon must know of a run's trainers."""
        await self.stored(self.store.save_trainer, run.view.name, run.token, run.record)

    async def write_down(self, run: LiveRun, decided: Decided) -> None:
        """Make decisions durable; only then do watchers and whoever asked hear of them.

        Raises:
            StorageFailed: if that is not possible now; the trainer keeps them.
        """
        name = run.view.name
        if any(one.rollback for one in decided.decisions):
            # The steps that it undoes were told before it.
            await self.save_rows(run)
            if run.unsaved_rows:
                raise StorageFailed(f"run {name}: the rows before a rollback are not written down")
        records = await self.stored(self.store.append_decisions, name, decided.decisions)
        for record in records:
            one = record.decision
            run.note(record)
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
        if records:
            run.update(revision=records[-1].decision.revision)
        self._acknowledge(run)
        lengths = [steps for one in decided.decisions if (steps := planned_steps(one)) is not None]
        if lengths:
            await self.show(run, steps=lengths[-1])
        for record in records:
            if record.decision.rollback is not None:
                await self._tell_of_rollback(run, record.decision, record.decision.rollback)

    async def _tell_of_rollback(self, run: LiveRun, decision: Decision, edit: RollbackEdit) -> None:
        who = decision.principal or edit.policy
        text = f"{who} took it back from step {edit.from_step} to step {edit.to_step}"
        if edit.skip:
            text += f", around {edit.skip} batches"
        await self.save_trainer(run)
        await self.tell(run, "rolled_back", f"{text}: {decision.reason}".removesuffix(": "))

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
            merged = merge(rows[:count])
            try:
                await self.stored(self.store.append_rows, run.view.name, merged)
            except StorageFailed as error:
                # A full disk may have room again in a second; memory is not endless meanwhile.
                run.unsaved_rows = [*rows, *run.unsaved_rows][-MAX_UNSAVED_BATCHES:]
                log.error("rows.not_saved", run=run.view.name, why=str(error))
                return
            run.next_row = max(run.next_row, end_of(merged))
            self._acknowledge(run)
            rows = rows[count:]

    async def save_rows_forever(self, runs: Callable[[], list[LiveRun]]) -> None:
        """Write rows, and where runs stand, again and again."""
        while True:
            await asyncio.sleep(SAVE_ROWS_SECONDS)
            for run in runs():
                if run.unsaved_rows:
                    await self.save_rows(run)
                    await self._save_snapshot(run)

    async def end(self, run: LiveRun, phase: Phase, **fields: Any) -> bool:
        """Take a run to its final phase, in everybody's eyes even where the disk takes nothing.

        Returns:
            Whether the disk has taken it.
        """
        await self.save_rows(run)
        fields |= {"phase": phase, "finished_at": self.clock(), "pid": None, "is_paused": False}
        is_saved = await self.show(run, **fields)
        run.end_pending()
        failure = run.view.failure
        log.info(
            "run.ended", run=run.view.name, phase=phase, why=failure.message if failure else ""
        )
        return is_saved and not run.unsaved_rows

    def _acknowledge(self, run: LiveRun) -> None:
        run.order(Acknowledged(revision=run.view.revision, next_row=run.next_row))

    async def _save_snapshot(self, run: LiveRun) -> None:
        """Let the next daemon know where a run stood that dies with this one."""
        try:
            await self.stored(self.store.save_snapshot, run.view.name, run.view.snapshot)
        except StorageFailed as error:
            log.error("snapshot.not_saved", run=run.view.name, why=str(error))
