"""The news of a run, line by line, for as long as somebody looks at it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from typing import Any

import msgspec
from aiohttp import web

from rheostat.errors import RheostatError
from rheostat.page.asking import number
from rheostat.page.gate import Call
from rheostat.page.reading import curves_of
from rheostat.page.shapes import decision, run_details
from rheostat.page.sketch import told
from rheostat.page.sketches import Sketches
from rheostat.runs.records import WatchEvent
from rheostat.runs.service import RunService

TICK_SECONDS = 0.25
"""Least time between two states of a run: a screen that somebody reads needs no more."""
STEPS_SECONDS = 0.5
"""Time between two readings of its steps, but for those around a decision."""
ASK_AGAIN_SECONDS = 5.0
"""Time after which a stream that says nothing is judged again, and says that it is there."""


class Live:
    """Streams JSON, one object a line, each with a `type`: `view`, `snapshot`, `decision`, `steps`.

    `steps` replaces everything drawn from its first step on, and all there was where it `is_whole`.
    `still` says that nothing happens, `over` that nothing more will, and `error` is the last line
    of a stream that may not go on.

    Args:
        service: whose runs.
        sketches: of their curves.
    """

    def __init__(self, service: RunService, sketches: Sketches) -> None:
        self._service = service
        self._sketches = sketches

    async def stream(self, call: Call) -> web.StreamResponse:
        """Tell what happens to a run until it is over, or nobody looks any more."""
        view = await self._service.get_run(call.run)
        after = number(call.request, "after", view.revision)
        curve = _Curve(self._sketches, call.run, *curves_of(call.request, view))
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        with call.gate.pace.stream(call.identity.principal):
            await response.prepare(call.request)
            # Who closes the page leaves in the middle of a line.
            with suppress(ConnectionResetError):
                try:
                    events = self._service.watch_run(call.run, after_revision=after)
                    async with aclosing(_news(events, call, curve)) as lines:
                        async for line in lines:
                            await response.write(msgspec.json.encode(line) + b"\n")
                except RheostatError as error:
                    line = {"type": "error", "message": str(error)}
                    await response.write(msgspec.json.encode(line) + b"\n")
        return response


class _Curve:
    """What has been told of a run's curves."""

    def __init__(
        self, sketches: Sketches, run: str, groups: Sequence[str], focus: str | None
    ) -> None:
        self._sketches = sketches
        self._run = run
        self._groups = groups
        self._focus = focus
        self._era = 0
        self._width = 0
        self._end = 0
        self._told_at = 0.0

    async def news(self, *, is_urgent: bool = False) -> dict[str, Any] | None:
        """Return what is to be drawn anew; None where that can wait, or is nothing."""
        now = asyncio.get_running_loop().time()
        if not is_urgent and self._told_at and now - self._told_at < STEPS_SECONDS:
            return None
        era, sketch = await self._sketches.whole(self._run, is_urgent=is_urgent)
        self._told_at = now
        if (era, sketch.width, sketch.end) == (self._era, self._width, self._end):
            return None
        is_same = (era, sketch.width) == (self._era, self._width)
        # The last bucket told may have grown.
        since = max(self._end - 1, 0) // sketch.width if is_same else 0
        self._era, self._width, self._end = era, sketch.width, sketch.end
        curves = told(sketch, groups=self._groups, focus=self._focus, since=since)
        return {"type": "steps", "is_whole": not is_same, **curves}


async def _news(
    events: AsyncIterator[WatchEvent], call: Call, curve: _Curve
) -> AsyncGenerator[dict[str, Any], None]:
    """Yield the lines of a stream."""
    coming: asyncio.Task[WatchEvent] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(events))
            await asyncio.wait({coming}, timeout=ASK_AGAIN_SECONDS)
            await call.ask()
            if not coming.done():
                yield {"type": "still"}
                continue
            try:
                event = coming.result()
            except StopAsyncIteration:
                break
            finally:
                coming = None
            yield _line(event)
            if steps := await curve.news(is_urgent=event.decision is not None):
                yield steps
            if event.snapshot is not None:
                await asyncio.sleep(TICK_SECONDS)
        if steps := await curve.news(is_urgent=True):
            yield steps
        yield {"type": "over"}
    finally:
        if coming is not None:
            coming.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration, RheostatError):
                await coming


def _line(event: WatchEvent) -> dict[str, Any]:
    if event.view is not None:
        return {"type": "view", "run": run_details(event.view)}
    if event.snapshot is not None:
        return {"type": "snapshot", "snapshot": event.snapshot}
    assert event.decision is not None  # an event holds one of the three
    return {"type": "decision", "decision": decision(event.decision)}
