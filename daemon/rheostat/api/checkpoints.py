"""The `Checkpoints` service."""

from rheostat.api.edits import given
from rheostat.api.handling import Context, answers, principal_of, require_run
from rheostat.api.permitting import may_create
from rheostat.api.translate import to_message
from rheostat.door.authenticating import Door
from rheostat.errors import InvalidRequest, Violation
from rheostat.runs.messages import RollbackCommand
from rheostat.runs.returning import mistakes
from rheostat.runs.script_forks import how_to_begin
from rheostat.runs.service import RunService
from rheostat.v1 import checkpoints_pb2 as pb
from rheostat.v1 import runs_pb2, types_pb2
from rheostat.v1.checkpoints_pb2_grpc import CheckpointsServicer


class CheckpointsApi(CheckpointsServicer):
    """Takes and lists the checkpoints of runs, and forks runs at them."""

    def __init__(self, service: RunService, door: Door) -> None:
        self._service = service
        self._door = door

    @answers
    async def SaveCheckpoint(
        self, request: pb.SaveCheckpointRequest, context: Context
    ) -> pb.SaveCheckpointResponse:
        saved = await self._service.save_checkpoint(
            require_run(request.run), principal=principal_of(context), pin=request.pin
        )
        return pb.SaveCheckpointResponse(checkpoint=to_message(saved, types_pb2.Checkpoint()))

    @answers
    async def ListCheckpoints(
        self, request: pb.ListCheckpointsRequest, context: Context
    ) -> pb.ListCheckpointsResponse:
        found = await self._service.list_checkpoints(require_run(request.run))
        return pb.ListCheckpointsResponse(
            checkpoints=[to_message(one, types_pb2.Checkpoint()) for one in found]
        )

    @answers
    async def RollbackRun(
        self, request: pb.RollbackRunRequest, context: Context
    ) -> pb.RollbackRunResponse:
        command = RollbackCommand(
            command_id=0,
            step=given(request, "step"),
            back_steps=given(request, "back_steps"),
            skip=request.skip,
            rewarm_steps=request.rewarm_steps,
            scale=given(request, "scale"),
            principal=principal_of(context),
            reason=request.reason,
            request_id=request.request_id,
        )
        if violations := list(mistakes(command)):
            raise InvalidRequest(violations)
        result = await self._service.roll_back_run(
            require_run(request.run), command, dry_run=request.dry_run
        )
        return to_message(result, pb.RollbackRunResponse())

    @answers
    async def ForkRun(self, request: pb.ForkRunRequest, context: Context) -> pb.ForkRunResponse:
        step = given(request, "step")
        if step is not None and step < 0:
            raise InvalidRequest([Violation("step", str(step), "0 or more")])
        view = await self._service.fork_run(
            require_run(request.run),
            request.spec,
            principal=principal_of(context),
            step=step,
            undone=given(request, "undone"),
            precedence=request.precedence,
            request_id=request.request_id,
            permit=may_create(self._door),
        )
        begin = how_to_begin(view.name) if view.awaits_script else ""
        return pb.ForkRunResponse(run=to_message(view, runs_pb2.Run()), begin=begin)
