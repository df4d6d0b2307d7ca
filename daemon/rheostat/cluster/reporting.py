"""Telling the API server how a run stands: its status and its Events, at a bounded pace."""

import asyncio
from http import HTTPStatus

from rheostat.cluster.calling import ApiServer, CallFailed
from rheostat.cluster.events import Notice, Series, event_patch, new_event
from rheostat.cluster.findings import Findings
from rheostat.cluster.patching import merge_patch
from rheostat.cluster.resources import TrainingRun
from rheostat.cluster.status import compose

REPORT_SECONDS = 5.0
"""Least time between two reports on one resource."""


class Reporter:
    """Reports on one resource."""

    def __init__(self, api: ApiServer, daemon: str) -> None:
        self._api = api
        self._daemon = daemon
        self._events = Series()
        self._due_at = 0.0

    @property
    def seconds_to_next(self) -> float:
        """Time until the next report may be made; 0 where it may be made now."""
        return max(0.0, self._due_at - asyncio.get_running_loop().time())

    @property
    def has_untold(self) -> bool:
        """Whether something happened that no Event tells yet."""
        return bool(self._events.untold())

    def note(self, notice: Notice, now: float) -> None:
        """Keep what happened for the next report; now in seconds since the epoch."""
        self._events.add(notice, now)

    async def report(self, found: Findings) -> TrainingRun:
        """Write what has changed in the status, tell the Events, and return the resource.

        Raises:
            CallFailed: the next report tells all of it again.
        """
        self._due_at = asyncio.get_running_loop().time() + REPORT_SECONDS
        resource = found.resource
        patch = merge_patch(resource.reported, compose(found).as_json())
        if patch:
            answer = await self._api.patch_status(resource.name, {"status": patch})
            resource = TrainingRun.read(answer)
        await self.tell_events(resource)
        return resource

    async def tell_events(self, resource: TrainingRun) -> None:
        """Write the Events that have happened since the last time.

        Raises:
            CallFailed: those not written are kept for the next time.
        """
        for event in self._events.untold():
            try:
                if event.is_known:
                    name = f"{resource.name}.{event.name}"
                    await self._api.patch_event(name, event_patch(event))
                else:
                    await self._api.create_event(new_event(event, resource, self._daemon))
            except CallFailed as error:
                if error.status != HTTPStatus.NOT_FOUND or not event.is_known:
                    raise
                self._events.is_lost(event)  # the API server keeps them for an hour
            else:
                self._events.is_told(event)
