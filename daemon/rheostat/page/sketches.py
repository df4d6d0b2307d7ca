"""The sketches of the runs that somebody looks at, kept up with what the runs do."""

import asyncio
import itertools
from collections import OrderedDict
from dataclasses import dataclass, field

from rheostat.page.shapes import finished_steps
from rheostat.page.sketch import BUCKETS, Sketch, width_for
from rheostat.runs.rows import cut, end_of
from rheostat.runs.service import RunService

FRESH_SECONDS = 0.25
"""Time for which a sketch is new enough: however many look, the store is read once."""
MOST_KEPT = 16
"""Runs whose sketches are kept; that of the longest unlooked-at is made anew when it is wanted."""
_PAGE = 1000


@dataclass(slots=True)
class Kept:
    """A sketch and what it contains."""

    era: int
    """Another where steps were taken back, so that nothing drawn before holds."""
    sketch: Sketch = field(default_factory=Sketch)
    revision: int = 0
    """The newest decision that is known not to have taken the run back."""
    read_at: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Sketches:
    """Reads each run's steps once, and then only those that it has taken since.

    Args:
        service: whose runs.
    """

    def __init__(self, service: RunService) -> None:
        self._service = service
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._eras = itertools.count(1)

    async def whole(self, run: str, *, is_urgent: bool = False) -> tuple[int, Sketch]:
        """Return the sketch of everything that a run has done, and its era.

        Args:
            run: its name.
            is_urgent: whether not to take one that is a moment old.

        Raises:
            NotFound: if there is no such run.
        """
        kept = self._kept.setdefault(run, Kept(next(self._eras)))
        self._kept.move_to_end(run)
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        async with kept.lock:
            now = asyncio.get_running_loop().time()
            if is_urgent or now - kept.read_at > FRESH_SECONDS:
                try:
                    await self._read_on(run, kept)
                except BaseException:
                    # Half of a batch may be in it.
                    self._kept.pop(run, None)
                    raise
                kept.read_at = now
            return kept.era, kept.sketch

    async def part(
        self, run: str, start: int, end: int, *, points: int, undone: int | None = None
    ) -> Sketch:
        """Return a sketch of some of a run's steps, as fine as so many buckets allow.

        Args:
            run: its name.
            start: the first step.
            end: the first step after them.
            points: most buckets, at least 2.
            undone: revision of a rollback, whose undone steps are meant; None is none.

        Raises:
            NotFound: if there is no such run.
            InvalidRequest: if the decision of that revision is no rollback.
        """
        width = width_for(end - start, points)
        first = start // width * width
        sketch = Sketch(first=first, width=width, buckets=points + points % 2)
        async for batch in self._service.export_run(run, undone=undone, from_step=first):
            if batch.first_step >= end:
                break
            if end_of(batch) > first:
                sketch.add(cut(batch, first, end))
            if end_of(batch) >= end:
                break
        return sketch

    async def _read_on(self, run: str, kept: Kept) -> None:
        view = await self._service.get_run(run)
        if kept.sketch.end and await self._has_turned(run, kept.revision):
            kept.era, kept.sketch = next(self._eras), Sketch()
        if not kept.sketch.end:
            # Of a long run, nobody needs to see how the buckets grew.
            kept.sketch = Sketch(width=width_for(finished_steps(view), BUCKETS))
        kept.revision = view.revision
        async for batch in self._service.export_run(run, from_step=kept.sketch.end):
            kept.sketch.add(batch)

    async def _has_turned(self, run: str, revision: int) -> bool:
        """Whether a decision after a revision has taken the run back."""
        while records := await self._service.list_decisions(
            run, after_revision=revision, limit=_PAGE
        ):
            if any(record.decision.rollback is not None for record in records):
                return True
            revision = records[-1].decision.revision
        return False
