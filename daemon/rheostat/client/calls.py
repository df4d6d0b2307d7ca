"""Every RPC as a value: what to send where, and how to read the answer."""

import getpass
import json
import socket
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import msgspec
from google.protobuf.message import Message

from rheostat.api.edits import request_of
from rheostat.api.filling import filled
from rheostat.api.translate import to_record
from rheostat.door.identity import PRINCIPAL_KEY
from rheostat.runs.checkpoints import CheckpointInfo
from rheostat.runs.records import (
    Attachment,
    ChangeResult,
    Evaluation,
    Explanation,
    HeldChange,
    RollbackResult,
    RunView,
    Snapshot,
    StepRows,
    WatchEvent,
)
from rheostat.runs.trials import ProbeReport
from rheostat.spec.building import PolicyType
from rheostat.steering.records import Change, Decision, DecisionRecord, PolicyStatus
from rheostat.v1 import checkpoints_pb2, policies_pb2, runs_pb2
from rheostat.v1 import learning_rates_pb2 as pb

T = TypeVar("T")

PAGE_SIZE = 500

# gRPC's own retries, of calls that have the same outcome twice: they only read, ask for a state, or
# carry an idempotency key. A second StopRun or DeleteRun would be refused because the first worked.
_RETRIES = {
    "methodConfig": [
        {
            "name": [
                {"service": "rheostat.v1.LearningRates"},
                *(
                    {"service": "rheostat.v1.Policies", "method": method}
                    for method in (
                        "ListPolicyTypes",
                        "ListPolicies",
                        "AttachPolicy",
                        "UpdatePolicy",
                        "DetachPolicy",
                    )
                ),
                *(
                    {"service": "rheostat.v1.Runs", "method": method}
                    for method in (
                        "CreateRun",
                        "GetRun",
                        "ListRuns",
                        "PauseRun",
                        "ResumeRun",
                        "WatchRun",
                        "ExportRun",
                        "EvaluateRun",
                        "ReplayRun",
                        "AttachRun",
                    )
                ),
                {"service": "rheostat.v1.Checkpoints"},
            ],
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
CHANNEL_OPTIONS = (
    ("grpc.service_config", json.dumps(_RETRIES)),
    ("grpc.enable_http_proxy", 0),
    ("grpc.keepalive_time_ms", 60_000),  # or a stream would wait for ever for a machine that died
    ("grpc.max_receive_message_length", 64 * 2**20),
)


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One RPC, ready to be made by a client of either kind."""

    path: str
    """`/package.Service/Method`."""
    request: Message
    response: type[Message]
    read: Callable[[Any], T]
    """Turns the response into what the caller gets."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list."""

    items: list[T]
    next: Any
    """What asks for the next page; None on the last."""


def default_principal() -> str:
    """Return who the daemon is told is asking: the user and the machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user without a name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def metadata(principal: str) -> tuple[tuple[str, str], ...]:
    """Return what goes along with every call."""
    printable_ascii = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")
    return ((PRINCIPAL_KEY, quote(principal, safe=printable_ascii, errors="replace")),)


def create_run(spec: str, request_id: str, priority: int) -> Call[RunView]:
    """Return the call that queues a run."""
    return _about_run(
        "CreateRun",
        runs_pb2.CreateRunRequest,
        runs_pb2.CreateRunResponse,
        spec=spec,
        request_id=request_id or str(uuid.uuid4()),
        priority=priority,
    )


def attach_run(spec: str, resume: bool, restores: bool, request_id: str) -> Call[Attachment]:
    """Return the call that makes a script a run."""
    return Call(
        _runs("AttachRun"),
        filled(
            runs_pb2.AttachRunRequest,
            spec=spec,
            resume=resume,
            restores=restores,
            request_id=request_id or str(uuid.uuid4()),
        ),
        runs_pb2.AttachRunResponse,
        lambda answer: to_record(answer, Attachment),
    )


def get_run(run: str) -> Call[RunView]:
    """Return the call that shows a run."""
    return _about_run("GetRun", runs_pb2.GetRunRequest, runs_pb2.GetRunResponse, run=run)


def pause_run(run: str) -> Call[RunView]:
    """Return the call that pauses a run."""
    return _about_run("PauseRun", runs_pb2.PauseRunRequest, runs_pb2.PauseRunResponse, run=run)


def resume_run(run: str) -> Call[RunView]:
    """Return the call that resumes a run."""
    return _about_run("ResumeRun", runs_pb2.ResumeRunRequest, runs_pb2.ResumeRunResponse, run=run)


def stop_run(run: str) -> Call[RunView]:
    """Return the call that stops a run."""
    return _about_run("StopRun", runs_pb2.StopRunRequest, runs_pb2.StopRunResponse, run=run)


def delete_run(run: str) -> Call[None]:
    """Return the call that deletes a run."""
    request = filled(runs_pb2.DeleteRunRequest, run=run)
    return Call(_runs("DeleteRun"), request, runs_pb2.DeleteRunResponse, lambda response: None)


def replay_run(run: str, request_id: str) -> Call[RunView]:
    """Return the call that does a run again."""
    return _about_run(
        "ReplayRun",
        runs_pb2.ReplayRunRequest,
        runs_pb2.ReplayRunResponse,
        run=run,
        request_id=request_id or str(uuid.uuid4()),
    )


def evaluate_run(run: str) -> Call[Evaluation]:
    """Return the call that looks at a run's validation set."""
    return Call(
        _runs("EvaluateRun"),
        filled(runs_pb2.EvaluateRunRequest, run=run),
        runs_pb2.EvaluateRunResponse,
        lambda response: to_record(response, Evaluation),
    )


def save_checkpoint(run: str, pin: bool) -> Call[CheckpointInfo]:
    """Return the call that takes a checkpoint of a run."""
    return Call(
        "/rheostat.v1.Checkpoints/SaveCheckpoint",
        filled(checkpoints_pb2.SaveCheckpointRequest, run=run, pin=pin),
        checkpoints_pb2.SaveCheckpointResponse,
        lambda response: to_record(response.checkpoint, CheckpointInfo),
    )


def fork_run(run: str, spec: str, request_id: str, fields: dict[str, Any]) -> Call[RunView]:
    """Return the call that forks a run."""
    return Call(
        "/rheostat.v1.Checkpoints/ForkRun",
        filled(
            checkpoints_pb2.ForkRunRequest,
            run=run,
            spec=spec,
            request_id=request_id or str(uuid.uuid4()),
            **fields,
        ),
        checkpoints_pb2.ForkRunResponse,
        lambda response: to_record(response.run, RunView),
    )


def roll_back_run(run: str, request_id: str, fields: dict[str, Any]) -> Call[RollbackResult]:
    """Return the call that takes a run back to a checkpoint."""
    return Call(
        "/rheostat.v1.Checkpoints/RollbackRun",
        filled(
            checkpoints_pb2.RollbackRunRequest,
            run=run,
            request_id=request_id or str(uuid.uuid4()),
            **fields,
        ),
        checkpoints_pb2.RollbackRunResponse,
        lambda response: to_record(response, RollbackResult),
    )


def list_checkpoints(run: str) -> Call[list[CheckpointInfo]]:
    """Return the call that lists a run's checkpoints."""
    return Call(
        "/rheostat.v1.Checkpoints/ListCheckpoints",
        filled(checkpoints_pb2.ListCheckpointsRequest, run=run),
        checkpoints_pb2.ListCheckpointsResponse,
        lambda response: [to_record(one, CheckpointInfo) for one in response.checkpoints],
    )


def list_runs(page_token: str) -> Call[Page[RunView]]:
    """Return the call that lists a page of runs."""

    def read(response: runs_pb2.ListRunsResponse) -> Page[RunView]:
        views = [to_record(run, RunView) for run in response.runs]
        return Page(views, response.next_page_token or None)

    request = filled(runs_pb2.ListRunsRequest, page_size=PAGE_SIZE, page_token=page_token)
    return Call(_runs("ListRuns"), request, runs_pb2.ListRunsResponse, read)


def watch_run(run: str, after_revision: int | None) -> Call[WatchEvent]:
    """Return the streaming call that watches a run."""

    def read(response: runs_pb2.WatchRunResponse) -> WatchEvent:
        match response.WhichOneof("event"):
            case "run":
                return WatchEvent(run=run, view=to_record(response.run, RunView))
            case "snapshot":
                return WatchEvent(run=run, snapshot=to_record(response.snapshot, Snapshot))
            case _:
                return WatchEvent(run=run, decision=to_record(response.decision, Decision))

    request = filled(runs_pb2.WatchRunRequest, run=run, after_revision=after_revision)
    return Call(_runs("WatchRun"), request, runs_pb2.WatchRunResponse, read)


def export_run(run: str, undone: int | None) -> Call[StepRows]:
    """Return the streaming call that exports a run's steps, or those that a rollback has undone."""
    return Call(
        _runs("ExportRun"),
        filled(runs_pb2.ExportRunRequest, run=run, undone=undone),
        runs_pb2.ExportRunResponse,
        lambda response: to_record(response.rows, StepRows),
    )


def change_learning_rate(run: str, change: Change, wait: bool) -> Call[ChangeResult]:
    """Return the call that changes LRs, or the schedules and policies that make them.

    It carries a key, so that it can be repeated safely.
    """

    keyed = msgspec.structs.replace(change, request_id=change.request_id or str(uuid.uuid4()))
    path, request = request_of(run, keyed, wait)
    module = policies_pb2 if path.startswith("Policies/") else pb
    response = getattr(module, f"{path.partition('/')[2]}Response")
    return Call(f"/rheostat.v1.{path}", request, response, _result)


def list_held_changes(run: str) -> Call[tuple[HeldChange, ...]]:
    """Return the call that lists the changes of a run that wait for approval."""
    return Call(
        _learning_rates("ListHeldChanges"),
        filled(pb.ListHeldChangesRequest, run=run),
        pb.ListHeldChangesResponse,
        lambda response: tuple(to_record(one, HeldChange) for one in response.changes),
    )


def approve_change(run: str, request_id: str) -> Call[ChangeResult]:
    """Return the call that approves a change."""
    request = filled(pb.ApproveChangeRequest, run=run, request_id=request_id)
    return Call(_learning_rates("ApproveChange"), request, pb.ApproveChangeResponse, _result)


def _result(answer: Any) -> ChangeResult:
    """Return what a change did, of the answer to any request for one."""
    response = answer if isinstance(answer, pb.ChangeLearningRateResponse) else answer.change
    decided = response.HasField("decision")
    decision = to_record(response.decision, Decision) if decided else None
    return ChangeResult(decision=decision, request_id=response.request_id, dry_run=response.dry_run)


def probe_learning_rates(
    run: str, learning_rates: Sequence[float], steps: int, groups: Sequence[str]
) -> Call[ProbeReport]:
    """Return the call that tries LRs out."""
    return Call(
        _learning_rates("ProbeLearningRates"),
        filled(
            pb.ProbeLearningRatesRequest,
            run=run,
            learning_rates=list(learning_rates),
            steps=steps,
            groups=list(groups),
        ),
        pb.ProbeLearningRatesResponse,
        lambda response: to_record(response, ProbeReport),
    )


def explain(run: str, step: int | None) -> Call[Explanation]:
    """Return the call that explains the LRs of a finished step, or the present ones."""
    return Call(
        _learning_rates("ExplainLearningRates"),
        filled(pb.ExplainLearningRatesRequest, run=run, step=step),
        pb.ExplainLearningRatesResponse,
        lambda response: to_record(response, Explanation),
    )


def list_policies(run: str) -> Call[tuple[PolicyStatus, ...]]:
    """Return the call that says where a run's policies stand."""
    return Call(
        "/rheostat.v1.Policies/ListPolicies",
        filled(policies_pb2.ListPoliciesRequest, run=run),
        policies_pb2.ListPoliciesResponse,
        lambda response: tuple(to_record(one, PolicyStatus) for one in response.policies),
    )


def list_policy_types() -> Call[tuple[PolicyType, ...]]:
    """Return the call that lists what can be attached by name."""
    return Call(
        "/rheostat.v1.Policies/ListPolicyTypes",
        policies_pb2.ListPolicyTypesRequest(),
        policies_pb2.ListPolicyTypesResponse,
        lambda response: tuple(
            PolicyType(name=one.name, summary=one.summary, origin=one.origin)
            for one in response.types
        ),
    )


def list_decisions(run: str, after_revision: int) -> Call[Page[DecisionRecord]]:
    """Return the call that lists a page of history."""

    def read(response: pb.ListDecisionsResponse) -> Page[DecisionRecord]:
        records = [to_record(one, DecisionRecord) for one in response.decisions]
        more = response.HasField("next_after_revision")
        return Page(records, response.next_after_revision if more else None)

    request = filled(
        pb.ListDecisionsRequest,
        run=run,
        after_revision=after_revision,
        page_size=PAGE_SIZE,
    )
    response = pb.ListDecisionsResponse
    return Call(_learning_rates("ListDecisions"), request, response, read)


def _about_run(
    method: str, request: type[Message], response: type[Message], **fields: Any
) -> Call[RunView]:
    asked = filled(request, **fields)
    return Call(_runs(method), asked, response, lambda answer: to_record(answer.run, RunView))


def _runs(method: str) -> str:
    return f"/rheostat.v1.Runs/{method}"


def _learning_rates(method: str) -> str:
    return f"/rheostat.v1.LearningRates/{method}"
