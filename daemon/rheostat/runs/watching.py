"""What happens to a run, told to whoever watches: every decision, and as much else as helps."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from rheostat.runs.keeping import Keeper
from rheostat.runs.live import LiveRun
from rheostat.runs.records import RunView, WatchEvent
from rheostat.steering.records import DecisionRecord

SNAPSHOTS_PER_SECOND = 1000
"""That all watchers of a run get together: the more they are, the fewer each, since nobody looks at
a thousand curves twenty times a second, and whoever tells them must have time for changes."""
_PAGE = 100


class Watch:
    """One watcher's view of a run.

    Args:
        keeper: remembers decisions that are no longer in memory.
        view: of the run, now.
        live: the same run in this daemon's life; None if it ended before.
        after_revision: decisions after it are told; None is from now on.
    """

    def __init__(
        self, keeper: Keeper, view: RunView, live: LiveRun | None, after_revision: int | None
    ) -> None:
        self._keeper = keeper
        self._view, self._live = view, live
        self._revision = view.revision if after_revision is None else after_revision
        self._next_snapshot = 0.0

    async def events(self) -> AsyncIterator[WatchEvent]:
        """Tell what happens until the run is over, for good or for this daemon.

        A view comes first, and again at each change of phase, the final one last. Every decision
        is told once, in order: a slow reader costs no memory, since they are read back. Of
        snapshots a slow reader gets the newest, and the last one always.
        """
        live = self._live
        if live is None:
            async for event in self._tell_all(self._view):
                yield event
            return
        live.watchers += 1
        try:
            async for event in self._follow(live):
                yield event
        finally:
            live.watchers -= 1

    async def _tell_all(self, view: RunView) -> AsyncIterator[WatchEvent]:
        """Tell of a run that nothing will happen to any more."""
        yield WatchEvent(run=view.name, view=view)
        async for event in self._decisions(view):
            yield event
        if view.snapshot is not None:
            yield WatchEvent(run=view.name, snapshot=view.snapshot)

    async def _follow(self, live: LiveRun) -> AsyncIterator[WatchEvent]:
        name, told_phase, told_snapshot = self._view.name, self._view.phase, None
        clock = asyncio.get_running_loop().time
        yield WatchEvent(run=name, view=self._view)
        while True:
            news, turn = live.news, live.turn
            view, is_over = live.view, live.is_over
            async for event in self._decisions(view):
                yield event
            waits = view.snapshot is not None and view.snapshot is not told_snapshot
            if waits and (is_over or clock() >= self._next_snapshot):
                told_snapshot, waits = view.snapshot, False
                self._next_snapshot = clock() + live.watchers / SNAPSHOTS_PER_SECOND
                yield WatchEvent(run=name, snapshot=told_snapshot)
            if view.phase is not told_phase:
                told_phase = view.phase
                yield WatchEvent(run=name, view=view)
            if is_over:
                return
            if not waits:
                await news.wait()
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._next_snapshot):
                    await turn.wait()

    async def _decisions(self, view: RunView) -> AsyncIterator[WatchEvent]:
        """Tell the decisions up to a view that have not been told."""
        while self._revision < view.revision:
            for record in await self._newer():
                yield WatchEvent(run=view.name, decision=record.decision)
                self._revision = record.decision.revision

    async def _newer(self) -> list[DecisionRecord]:
        """Return the next decisions: from memory where it goes back so far, as for most it does."""
        recent = self._live.recent if self._live is not None else ()
        if recent and recent[0].decision.revision <= self._revision + 1:
            first = self._revision + 1 - recent[0].decision.revision
            return [recent[index] for index in range(first, min(first + _PAGE, len(recent)))]
        read = self._keeper.store.list_decisions
        return await self._keeper.stored(read, self._view.name, self._revision, _PAGE)
