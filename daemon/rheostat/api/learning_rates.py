"""The `LearningRates` service."""

import msgspec

from rheostat.api.changes import as_asked, change_of
from rheostat.api.handling import (
    Context,
    answers,
    page_size,
    principal_of,
    require_revision,
    require_run,
)
from rheostat.api.translate import to_message
from rheostat.errors import InvalidRequest
from rheostat.runs.records import ChangeResult
from rheostat.runs.service import RunService
from rheostat.v1 import learning_rates_pb2 as pb
from rheostat.v1.learning_rates_pb2_grpc import LearningRatesServicer


class LearningRatesApi(LearningRatesServicer):
    """Shows, changes and explains learning rates."""

    def __init__(self, service: RunService) -> None:
        self._service = service

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
        return _response(result)

    @answers
    async def ExplainLearningRates(
        self, request: pb.ExplainLearningRatesRequest, context: Context
    ) -> pb.ExplainLearningRatesResponse:
        explained = await self._service.explain(require_run(request.run))
        return to_message(explained, pb.ExplainLearningRatesResponse())

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


def _response(result: ChangeResult) -> pb.ChangeLearningRateResponse:
    decision = result.decision
    if decision is None:
        return pb.ChangeLearningRateResponse(pending=True, request_id=result.request_id)
    response = pb.ChangeLearningRateResponse(
        request_id=result.request_id,
        revision=decision.revision,
        applied_step=decision.applied_step,
        groups=[
            pb.ChangedGroup(name=group.name, old=group.old, new=group.new)
            for group in decision.groups
        ],
        guardrails=decision.guardrails,
        dry_run=result.dry_run,
    )
    to_message(decision, response.decision)
    return response
