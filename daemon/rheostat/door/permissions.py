"""What every RPC takes: the one table. An RPC without an entry is for nobody.

Whatever does the same by another protocol takes the same: it is looked up here by its RPC.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rheostat.door.roles import Reach, Right, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """What one RPC takes."""

    role: Role
    run: str = "run"
    """Path of the field that names the run; empty where requests name none."""
    public: Callable[[Any], bool] | None = None
    """Which requests are for everybody, callers that nobody knows included."""

    def right_to(self, request: Any) -> Right | None:
        """Return what a request takes; None for a message of a stream that names no run."""
        if not self.run:
            return Right(self.role, Reach.SOME)
        *above, last = self.run.split(".")
        for name in above:
            if not request.HasField(name):
                return None
            request = getattr(request, name)
        return Right(self.role, getattr(request, last))


def _service(name: str, **permissions: Permission) -> dict[str, Permission]:
    return {f"/{name}/{rpc}": permission for rpc, permission in permissions.items()}


_VIEW = Permission(role=Role.VIEWER)
_OPERATE = Permission(role=Role.OPERATOR)
_ADMINISTER = Permission(role=Role.ADMIN)
_LOOK_AROUND = Permission(role=Role.VIEWER, run="")

PERMISSIONS: Mapping[str, Permission] = {
    **_service(
        "rheostat.v1.Runs",
        # Its handler asks again, when it has read what the run is called.
        CreateRun=Permission(role=Role.ADMIN, run=""),
        GetRun=_VIEW,
        # Shows those runs that the caller may see.
        ListRuns=_LOOK_AROUND,
        PauseRun=_OPERATE,
        ResumeRun=_OPERATE,
        StopRun=_OPERATE,
        DeleteRun=_ADMINISTER,
        ReplayRun=_ADMINISTER,
        EvaluateRun=_OPERATE,
        WatchRun=_VIEW,
        ExportRun=_VIEW,
        # Its handler asks again, as that of CreateRun does.
        AttachRun=Permission(role=Role.ADMIN, run=""),
    ),
    **_service(
        "rheostat.v1.LearningRates",
        GetLearningRates=_VIEW,
        ChangeLearningRate=_OPERATE,
        SwapSchedule=_OPERATE,
        SetHorizon=_OPERATE,
        StartCooldown=_OPERATE,
        RewarmSchedule=_OPERATE,
        ProbeLearningRates=_OPERATE,
        ExplainLearningRates=_VIEW,
        ListHeldChanges=_VIEW,
        ApproveChange=_OPERATE,
        ListDecisions=_VIEW,
    ),
    **_service(
        "rheostat.v1.Policies",
        ListPolicyTypes=_LOOK_AROUND,
        ListPolicies=_VIEW,
        AttachPolicy=_OPERATE,
        UpdatePolicy=_OPERATE,
        DetachPolicy=_OPERATE,
        ConnectPolicy=Permission(role=Role.OPERATOR, run="hello.run"),
    ),
    **_service(
        "rheostat.v1.Checkpoints",
        SaveCheckpoint=_OPERATE,
        ListCheckpoints=_VIEW,
        RollbackRun=_ADMINISTER,
        # Its handler asks again, as that of CreateRun does.
        ForkRun=_ADMINISTER,
    ),
    **_service(
        "grpc.health.v1.Health",
        # Whether the daemon answers at all is for probes; what it is made of is not.
        Check=Permission(role=Role.VIEWER, run="", public=lambda request: not request.service),
        List=_LOOK_AROUND,
        Watch=_LOOK_AROUND,
    ),
    **_service("grpc.reflection.v1alpha.ServerReflection", ServerReflectionInfo=_LOOK_AROUND),
}
