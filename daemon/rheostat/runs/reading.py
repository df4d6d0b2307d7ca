"""What is known of runs, for whoever asks: how they stand, what they did, and why."""

from collections.abc import AsyncIterator, Sequence

from rheostat.errors import FailedPrecondition, InvalidRequest, NotFound, Violation
from rheostat.runs.explaining import components_at
from rheostat.runs.keeping import Keeper
from rheostat.runs.lifecycle import Lifecycle
from rheostat.runs.live import LiveRun
from rheostat.runs.records import Explanation, Phase, RunView, StepRows, WatchEvent
from rheostat.runs.watching import Watch
from rheostat.steering.records import Decision, DecisionRecord

_PAGE = 100


class Reader:
    """Reads from the memory of the daemon what is there, and the rest from its store."""

    def __init__(self, lifecycle: Lifecycle, keeper: Keeper) -> None:
        self._lifecycle = lifecycle
        self._keeper = keeper
        self._store = keeper.store

    async def get(self, run: str) -> RunView:
        """Return a run.

        Raises:
            NotFound: if there is none of that name.
        """
        live = self._lifecycle.runs.get(run)
        if live is not None:
            return live.view
        view = await self._keeper.stored(self._store.get_run, run)
        if view is None:
            raise NotFound(f"no run is named {run!r}; `rheostat runs list` shows those there are")
        return view

    async def living(self, run: str, *phases: Phase, to: str) -> LiveRun:
        """Return a run that is in one of some phases.

        Args:
            run: its name.
            phases: those it may be in.
            to: what it is to do then, for the error.

        Raises:
            NotFound, FailedPrecondition: if there is no such run, or it is in another phase.
        """
        view = await self.get(run)
        live = self._lifecycle.runs.get(run)
        if live is None or view.phase not in phases:
            when = {Phase.QUEUED: "it has not started", Phase.STARTING: "it has not started"}
            why = "it has ended" if view.phase.is_final else when.get(view.phase, "it is ending")
            raise FailedPrecondition(f"run {run} is {view.phase}: {why}, so it cannot {to}")
        return live

    async def list_all(self) -> list[RunView]:
        """Return all runs, oldest first."""
        runs = self._lifecycle.runs
        stored = await self._keeper.stored(self._store.list_runs)
        return [runs[view.name].view if view.name in runs else view for view in stored]

    async def watch(
        self, run: str, *, after_revision: int | None = None
    ) -> AsyncIterator[WatchEvent]:
        """Tell what happens to a run; see `Watch.events`.

        Args:
            run: its name.
            after_revision: decisions after it are told; None is from now on.
        """
        view = await self.get(run)
        watch = Watch(self._keeper, view, self._lifecycle.runs.get(run), after_revision)
        async for event in watch.events():
            yield event

    async def export(
        self, run: str, undone: int | None = None, *, from_step: int = 0
    ) -> AsyncIterator[StepRows]:
        """Return every finished step of a run, in order, in batches.

        Args:
            run: its name.
            from_step: the first step that must be in them; the first batch may begin before.
            undone: revision of a rollback, whose undone steps are returned instead; None is none.

        Raises:
            NotFound: if there is no such run.
            InvalidRequest: if the decision of that revision is no rollback.
        """
        await self._prepare_rows(run)
        if undone is not None:
            if not any(one.rollback for one in await self._made(run, [max(undone, 1)])):
                expected = "the revision of a rollback, as `rheostat lr history` shows them"
                raise InvalidRequest([Violation("undone", str(undone), expected)])
            for batch in await self._keeper.stored(self._store.read_undone_rows, run, undone):
                yield batch
            return
        last = from_step - 1
        while batches := await self._keeper.stored(self._store.read_rows, run, last):
            for batch in batches:
                yield batch
                last = batch.first_step + batch.count - 1

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
        view = await self.get(run)
        if view.snapshot is None:
            raise FailedPrecondition(f"run {run} is {view.phase} and has no LR yet")
        snapshot = view.snapshot
        return Explanation(
            run=run,
            step=snapshot.step,
            revision=snapshot.revision,
            groups=snapshot.groups,
            decisions=await self._made(run, snapshot.in_force),
        )

    async def decisions(
        self, run: str, *, after_revision: int = 0, limit: int = _PAGE
    ) -> list[DecisionRecord]:
        """Return a page of a run's history, oldest first.

        Raises:
            NotFound: if there is no such run.
        """
        await self.get(run)
        return await self._keeper.stored(self._store.list_decisions, run, after_revision, limit)

    async def decided(self, run: str, request_id: str) -> Decision | None:
        """Return what became of a request, None when nothing did yet."""
        live = self._lifecycle.runs.get(run)
        if live is not None and live.is_new(request_id):
            return None
        return await self._keeper.stored(self._store.find_decision, run, request_id)

    async def _explain_step(self, run: str, step: int) -> Explanation:
        await self._prepare_rows(run)
        read = self._store.read_rows
        found = await self._keeper.stored(read, run, step - 1, 1) if step >= 0 else []
        if not found or not found[0].first_step <= step:
            expected = "a finished step of the run, counted from 0"
            raise InvalidRequest([Violation("step", str(step), expected)])
        components = components_at(found[0], step)
        return Explanation(
            run=run,
            step=step,
            revision=components.revision,
            groups=components.groups,
            decisions=await self._made(run, components.in_force),
        )

    async def _prepare_rows(self, run: str) -> None:
        """Write down the rows of a run that wait for that."""
        await self.get(run)
        live = self._lifecycle.runs.get(run)
        if live is not None:
            await self._keeper.save_rows(live)

    async def _made(self, run: str, revisions: Sequence[int]) -> tuple[Decision, ...]:
        """Return some decisions of a run."""
        found: list[Decision] = []
        for revision in revisions:
            records = await self.decisions(run, after_revision=revision - 1, limit=1)
            found += [record.decision for record in records]
        return tuple(found)
