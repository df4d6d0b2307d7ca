"""What the page changes: LRs, phases, the step that a run is at."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from aiohttp import web

from rheostat.page.answering import answer
from rheostat.page.asking import ChangeAsked, RollbackAsked, body
from rheostat.page.gate import Call
from rheostat.page.shapes import decision, run_details
from rheostat.runs.records import ChangeResult
from rheostat.runs.service import RunService

PATIENCE_SECONDS = 10.0
"""Time after which a request that was accepted is answered with 202: it waits for its step, or for
a second person, and happens without anybody listening."""


class Verbs:
    """Answers everything that changes something, and what it would change.

    Args:
        service: whose runs.
    """

    def __init__(self, service: RunService) -> None:
        self._service = service

    async def change(self, call: Call) -> web.Response:
        """Change LRs, or say what that would do."""
        asked = await body(call.request, ChangeAsked)
        change = asked.change(call.identity.principal)
        return await _changed(self._service.change_learning_rate(call.run, change))

    async def approve(self, call: Call) -> web.Response:
        """Carry out a change that waits for a second person."""
        request_id = call.request.match_info["request_id"]
        principal = call.identity.principal
        return await _changed(
            self._service.approve_change(call.run, request_id, principal=principal)
        )

    async def roll_back(self, call: Call) -> web.Response:
        """Take a run back to a checkpoint, or say to which it would go."""
        asked = await body(call.request, RollbackAsked)
        command = asked.command(call.identity.principal)
        result = await _patiently(
            self._service.roll_back_run(call.run, command, dry_run=asked.dry_run)
        )
        if result is None:
            return answer({"step": None, "decision": None}, status=202)
        made = decision(result.decision) if result.decision is not None else None
        return answer({"step": result.step, "decision": made})

    async def pause(self, call: Call) -> web.Response:
        """Let a run stand still."""
        return await _shown(self._service.pause_run(call.run, principal=call.identity.principal))

    async def resume(self, call: Call) -> web.Response:
        """Let a run go on."""
        return await _shown(self._service.resume_run(call.run, principal=call.identity.principal))


async def _changed(work: Awaitable[ChangeResult]) -> web.Response:
    result = await _patiently(work)
    if result is None or result.decision is None:
        return answer({"decision": None}, status=202)
    return answer({"decision": decision(result.decision), "dry_run": result.dry_run})


async def _shown(work: Awaitable[Any]) -> web.Response:
    view = await _patiently(work)
    return answer({}, status=202) if view is None else answer(run_details(view))


async def _patiently(work: Awaitable[Any]) -> Any:
    """Return what comes of something, None where it takes longer than anybody looks at a page."""
    try:
        return await asyncio.wait_for(work, PATIENCE_SECONDS)
    except TimeoutError:
        return None
