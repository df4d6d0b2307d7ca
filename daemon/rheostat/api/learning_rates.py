"""The `LearningRates` service."""

from typing import Any

import msgspec

from rheostat.api import edits
from rheostat.api.changes import as_asked, change_of
from rheostat.api.edits import edit_of, given, response_of
from rheostat.api.handling import (
    Context,
    answers,
    page_size,
    principal_of,
    require_revision,
    require_run,
)
from rheostat.api.permitting import permit_code
from rheostat.api.translate import to_message
from rheostat.door.authenticating import Door
from rheostat.errors import InvalidRequest
from rheostat.runs.service import RunService
from rheostat.steering.records import Change, Verb
from rheostat.v1 import learning_rates_pb2 as pb
from rheostat.v1.learning_rates_pb2_grpc import LearningRatesServicer


class LearningRatesApi(LearningRatesServicer):
    """Shows, changes and explains learning rates."""

    def __init__(self, service: RunService, door: Door) -> None:
        self._service = service
        self._door = door

    @answers
    async def GetLearningRates(
        self, request: pb.GetLearningRatesRequest, context: Context
    ) -> pb.GetLearningRatesResponse:
        explained = await self._service.explain(require_run(request.run))
        response = pb.GetLearningRatesResponse(
            run=explained.run, step=explained.step, revision=explained.revision
        )
        for group in explained.groups:
            to_message(group, response.groups.add())
        return response

    @answers
    async def ChangeLearningRate(
        self, request: pb.ChangeLearningRateRequest, context: Context
    ) -> pb.ChangeLearningRateResponse:
        run = require_run(request.run)
        change = msgspec.structs.replace(change_of(request), principal=principal_of(context))
        wait = request.wait if request.HasField("wait") else True
        try:
            result = await self._service.change_learning_rate(run, change, wait=wait)
        except InvalidRequest as error:
            raise as_asked(error, change.verb) from error
        return response_of(result)

    @answers
    async def SwapSchedule(
        self, request: pb.SwapScheduleRequest, context: Context
    ) -> pb.SwapScheduleResponse:
        change = await self._edit(request, edit_of(Verb.SWAP, request), context)
        return pb.SwapScheduleResponse(change=change)

    @answers
    async def SetHorizon(
        self, request: pb.SetHorizonRequest, context: Context
    ) -> pb.SetHorizonResponse:
        change = await self._edit(request, edit_of(Verb.HORIZON, request), context)
        return pb.SetHorizonResponse(change=change)

    @answers
    async def StartCooldown(
        self, request: pb.StartCooldownRequest, context: Context
    ) -> pb.StartCooldownResponse:
        change = await self._edit(request, edit_of(Verb.COOLDOWN, request), context)
        return pb.StartCooldownResponse(change=change)

    @answers
    async def RewarmSchedule(
        self, request: pb.RewarmScheduleRequest, context: Context
    ) -> pb.RewarmScheduleResponse:
        change = await self._edit(request, edit_of(Verb.REWARM, request), context)
        return pb.RewarmScheduleResponse(change=change)

    @answers
    async def ProbeLearningRates(
        self, request: pb.ProbeLearningRatesRequest, context: Context
    ) -> pb.ProbeLearningRatesResponse:
        found = await self._service.probe_learning_rates(
            require_run(request.run),
            tuple(request.learning_rates),
            steps=given(request, "steps", 0),
            groups=tuple(request.groups),
            principal=principal_of(context),
        )
        return to_message(found, pb.ProbeLearningRatesResponse())

    @answers
    async def ExplainLearningRates(
        self, request: pb.ExplainLearningRatesRequest, context: Context
    ) -> pb.ExplainLearningRatesResponse:
        step = request.step if request.HasField("step") else None
        explained = await self._service.explain(require_run(request.run), step)
        return to_message(explained, pb.ExplainLearningRatesResponse())

    @answers
    async def ListHeldChanges(
        self, request: pb.ListHeldChangesRequest, context: Context
    ) -> pb.ListHeldChangesResponse:
        response = pb.ListHeldChangesResponse()
        for held in await self._service.list_held_changes(require_run(request.run)):
            to_message(held, response.changes.add())
        return response

    @answers
    async def ApproveChange(
        self, request: pb.ApproveChangeRequest, context: Context
    ) -> pb.ApproveChangeResponse:
        result = await self._service.approve_change(
            require_run(request.run), request.request_id, principal=principal_of(context)
        )
        return pb.ApproveChangeResponse(change=response_of(result))

    @answers
    async def ListDecisions(
        self, request: pb.ListDecisionsRequest, context: Context
    ) -> pb.ListDecisionsResponse:
        size = page_size(request.page_size if request.HasField("page_size") else None)
        after = require_revision(request.after_revision)
        records = await self._service.list_decisions(
            require_run(request.run), after_revision=after, limit=size
        )
        response = pb.ListDecisionsResponse()
        for record in records:
            to_message(record, response.decisions.add())
        if len(records) == size:
            response.next_after_revision = records[-1].decision.revision
        return response

    async def _edit(
        self, request: Any, change: Change, context: Context
    ) -> pb.ChangeLearningRateResponse:
        """Make a change of the schedule that came with the usual options."""
        run = require_run(request.run)
        asked = msgspec.structs.replace(change, principal=principal_of(context))
        await permit_code(self._door, run, asked)
        wait = given(request.options, "wait", True)
        try:
            return response_of(await self._service.change_learning_rate(run, asked, wait=wait))
        except InvalidRequest as error:
            raise edits.as_asked(error) from error
