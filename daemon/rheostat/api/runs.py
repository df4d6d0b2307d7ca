"""The `Runs` service."""

from collections.abc import AsyncIterator
from functools import lru_cache

from rheostat.api.edits import given
from rheostat.api.handling import (
    Context,
    answers,
    caller,
    page_size,
    principal_of,
    require_revision,
    require_run,
    streams,
)
from rheostat.api.permitting import may_create
from rheostat.api.translate import to_message
from rheostat.door.authenticating import Door
from rheostat.door.roles import Right, Role
from rheostat.errors import InvalidRequest, Violation
from rheostat.runs.records import RunView, Snapshot, WatchEvent
from rheostat.runs.service import RunService
from rheostat.steering.records import Decision
from rheostat.v1 import runs_pb2 as pb
from rheostat.v1.runs_pb2_grpc import RunsServicer

_MAX_TOKEN_LENGTH = 18  # a number of 64 bits; int() refuses thousands of digits


class RunsApi(RunsServicer):
    """Creates, shows, watches and ends runs."""

    def __init__(self, service: RunService, door: Door) -> None:
        self._service = service
        self._door = door

    @answers
    async def CreateRun(
        self, request: pb.CreateRunRequest, context: Context
    ) -> pb.CreateRunResponse:
        view = await self._service.create_run(
            request.spec,
            principal=principal_of(context),
            request_id=request.request_id,
            permit=may_create(self._door),
            priority=request.priority,
        )
        return pb.CreateRunResponse(run=_run(view))

    @answers
    async def AttachRun(
        self, request: pb.AttachRunRequest, context: Context
    ) -> pb.AttachRunResponse:
        made = await self._service.attach_run(
            request.spec,
            principal=principal_of(context),
            resume=request.resume,
            restores=request.restores,
            request_id=request.request_id,
            permit=may_create(self._door),
        )
        return to_message(made, pb.AttachRunResponse())

    @answers
    async def GetRun(self, request: pb.GetRunRequest, context: Context) -> pb.GetRunResponse:
        view = await self._service.get_run(require_run(request.run))
        return pb.GetRunResponse(run=_run(view))

    @answers
    async def ListRuns(self, request: pb.ListRunsRequest, context: Context) -> pb.ListRunsResponse:
        size = page_size(request.page_size if request.HasField("page_size") else None)
        start = _page_start(request.page_token)
        views = [view for view in await self._service.list_runs() if await self._shows(view)]
        page, end = views[start : start + size], start + size
        return pb.ListRunsResponse(
            runs=[_run(view) for view in page],
            next_page_token=str(end) if end < len(views) else "",
        )

    async def _shows(self, view: RunView) -> bool:
        return await self._door.allows(caller(), Right(Role.VIEWER, view.name))

    @answers
    async def PauseRun(self, request: pb.PauseRunRequest, context: Context) -> pb.PauseRunResponse:
        view = await self._service.pause_run(
            require_run(request.run), principal=principal_of(context)
        )
        return pb.PauseRunResponse(run=_run(view))

    @answers
    async def ResumeRun(
        self, request: pb.ResumeRunRequest, context: Context
    ) -> pb.ResumeRunResponse:
        view = await self._service.resume_run(
            require_run(request.run), principal=principal_of(context)
        )
        return pb.ResumeRunResponse(run=_run(view))

    @answers
    async def StopRun(self, request: pb.StopRunRequest, context: Context) -> pb.StopRunResponse:
        view = await self._service.stop_run(
            require_run(request.run), principal=principal_of(context)
        )
        return pb.StopRunResponse(run=_run(view))

    @answers
    async def DeleteRun(
        self, request: pb.DeleteRunRequest, context: Context
    ) -> pb.DeleteRunResponse:
        await self._service.delete_run(require_run(request.run), principal=principal_of(context))
        return pb.DeleteRunResponse()

    @answers
    async def ReplayRun(
        self, request: pb.ReplayRunRequest, context: Context
    ) -> pb.ReplayRunResponse:
        view = await self._service.replay_run(
            require_run(request.run),
            principal=principal_of(context),
            request_id=request.request_id,
        )
        return pb.ReplayRunResponse(run=_run(view))

    @answers
    async def EvaluateRun(
        self, request: pb.EvaluateRunRequest, context: Context
    ) -> pb.EvaluateRunResponse:
        found = await self._service.evaluate_run(
            require_run(request.run), principal=principal_of(context)
        )
        return to_message(found, pb.EvaluateRunResponse())

    @streams
    async def WatchRun(
        self, request: pb.WatchRunRequest, context: Context
    ) -> AsyncIterator[pb.WatchRunResponse]:
        run = require_run(request.run)
        asked = request.HasField("after_revision")
        after = require_revision(request.after_revision) if asked else None
        async for event in self._service.watch_run(run, after_revision=after):
            yield _event(event)

    @streams
    async def ExportRun(
        self, request: pb.ExportRunRequest, context: Context
    ) -> AsyncIterator[pb.ExportRunResponse]:
        undone = given(request, "undone")
        async for rows in self._service.export_run(require_run(request.run), undone=undone):
            yield pb.ExportRunResponse(rows=to_message(rows, pb.StepRows()))


def _run(view: RunView) -> pb.Run:
    return to_message(view, pb.Run())


class _Same:
    """Stands for a record by its identity: many watchers are told the very same one."""

    __slots__ = ("record",)

    def __init__(self, record: Snapshot | Decision) -> None:
        self.record = record

    def __hash__(self) -> int:
        return id(self.record)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.record is other.record


@lru_cache(maxsize=64)
def _told(same: _Same) -> pb.WatchRunResponse:
    """Translate what many are told, once; nobody changes the message."""
    response = pb.WatchRunResponse()
    if isinstance(same.record, Snapshot):
        to_message(same.record, response.snapshot)
    else:
        to_message(same.record, response.decision)
    return response


def _event(event: WatchEvent) -> pb.WatchRunResponse:
    record = event.snapshot or event.decision
    if record is not None:
        return _told(_Same(record))
    assert event.view is not None  # an event holds one of the three
    return pb.WatchRunResponse(run=_run(event.view))


def _page_start(token: str) -> int:
    if not token:
        return 0
    if not token.isdecimal() or len(token) > _MAX_TOKEN_LENGTH:
        raise InvalidRequest([Violation("page_token", token, "the next_page_token of a page")])
    return int(token)
