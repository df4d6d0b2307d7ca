"""The client that blocks."""

from collections.abc import Generator, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc
from google.protobuf.message import Message

from rheostat.api.errors import from_rpc_error
from rheostat.client import calls, policies, serving
from rheostat.client.calls import Call
from rheostat.client.connections import PolicyConnection, converse
from rheostat.client.credentials import Credentials, open_channel
from rheostat.client.policies import Terms, Told
from rheostat.runs.checkpoints import CheckpointInfo
from rheostat.runs.records import (
    Attachment,
    ChangeResult,
    Evaluation,
    Explanation,
    HeldChange,
    RollbackResult,
    RunView,
    StepRows,
    WatchEvent,
)
from rheostat.runs.trials import ProbeReport
from rheostat.spec.building import PolicyType
from rheostat.steering.records import Change, DecisionRecord, PolicyStatus
from rheostat_policies import Policy

T = TypeVar("T")


class Client:
    """Speaks to a daemon, one call at a time.

    Every method raises the `RheostatError` that the daemon raised, `Unreachable` where none
    answers, and `DeadlineExceeded` after `timeout`.

    Args:
        address: `host:port` or `unix:path` of the daemon.
        timeout: seconds that a call may take; streams may take for ever.
        principal: who is asking, for the history, where the daemon takes callers at their word; by
            default user@machine.
        credentials: what proves it, and whom the daemon must be; by default there is no TLS.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout: float = 30.0,
        principal: str = "",
        credentials: Credentials | None = None,
    ) -> None:
        credentials = credentials or Credentials()
        self.address = address
        self._timeout = timeout
        self._metadata = (
            *calls.metadata(principal or calls.default_principal()),
            *credentials.metadata(address),
        )
        self._channel = open_channel(address, credentials)
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; streams end."""
        self._is_closed = True
        self._channel.close()

    def create_run(self, spec: str, *, request_id: str = "", priority: int = 0) -> RunView:
        """Queue a run from YAML or JSON text; the same `request_id` again returns the first.

        Of runs that wait, the one with the highest `priority` starts first.
        """
        return self._ask(calls.create_run(spec, request_id, priority))

    def attach_run(
        self, spec: str, *, resume: bool = False, restores: bool = False, request_id: str = ""
    ) -> Attachment:
        """Make a script a run, which it goes on to train; what `rheostat.attach` calls.

        Args:
            spec: what the script says of itself, as JSON; see `AttachedSpec`.
            resume: whether to go on with the run of that name, if there is one.
            restores: whether the script can be brought to a checkpoint, as one of a fork must be.
            request_id: idempotency key; made up where it is empty.
        """
        return self._ask(calls.attach_run(spec, resume, restores, request_id))

    def get_run(self, run: str) -> RunView:
        """Return a run."""
        return self._ask(calls.get_run(run))

    def list_runs(self) -> list[RunView]:
        """Return all runs, oldest first."""
        views: list[RunView] = []
        token: str | None = ""
        while token is not None:
            page = self._ask(calls.list_runs(token))
            views += page.items
            token = page.next
        return views

    def pause_run(self, run: str) -> RunView:
        """Let a run stand still before its next step; return once it does."""
        return self._ask(calls.pause_run(run))

    def resume_run(self, run: str) -> RunView:
        """Let a paused run go on, and return once it does.

        One that was stopped, has failed or was put by goes back to the queue, and from there on
        with its newest good checkpoint.
        """
        return self._ask(calls.resume_run(run))

    def stop_run(self, run: str) -> RunView:
        """Ask a run to end at its next step; return at once."""
        return self._ask(calls.stop_run(run))

    def delete_run(self, run: str) -> None:
        """Delete a run that has ended, with its history, its checkpoints and its other files."""
        self._ask(calls.delete_run(run))

    def evaluate_run(self, run: str, *, timeout: float | None = None) -> Evaluation:
        """Look at the validation set at the run's next step; the training does not notice."""
        return self._ask(calls.evaluate_run(run), timeout)

    def save_checkpoint(
        self, run: str, *, pin: bool = False, timeout: float | None = None
    ) -> CheckpointInfo:
        """Take a checkpoint at the run's next step; return when it is on the disk.

        Args:
            run: its name.
            pin: whether to keep it until somebody removes it.
            timeout: seconds to wait; None is the client's own.
        """
        return self._ask(calls.save_checkpoint(run, pin), timeout)

    def fork_run(
        self,
        run: str,
        spec: str,
        *,
        step: int | None = None,
        undone: int | None = None,
        precedence: str = "",
        request_id: str = "",
    ) -> RunView:
        """Make a run that goes on from a checkpoint of another one, and queue it.

        Args:
            run: the other one.
            spec: of the new one, YAML or JSON text; its name is the wished one.
            step: take the newest good checkpoint of at most so many finished steps; None is the
                newest.
            undone: take one that the rollback of this revision has undone; None is one that stands.
            precedence: `spec` is to have the LRs that the spec says, `checkpoint` to go on with its
                schedule, overrides and policies; empty is the checkpoint's unless the spec differs.
            request_id: idempotency key; made up where it is empty.
        """
        fields = {"step": step, "undone": undone, "precedence": precedence}
        return self._ask(calls.fork_run(run, spec, request_id, fields))

    def replay_run(self, run: str, *, request_id: str = "") -> RunView:
        """Make a run that does the same as another one has done, and queue it."""
        return self._ask(calls.replay_run(run, request_id))

    def roll_back_run(
        self,
        run: str,
        *,
        step: int | None = None,
        back_steps: int | None = None,
        skip: int = 0,
        rewarm_steps: int = 0,
        scale: float | None = None,
        reason: str = "",
        request_id: str = "",
        dry_run: bool = False,
        timeout: float | None = None,
    ) -> RollbackResult:
        """Take a run back to one of its checkpoints at the next step, and let it go on from there.

        Args:
            run: its name.
            step: to the newest good checkpoint of at most so many finished steps.
            back_steps: to the newest that is at least so many steps old; with neither, the newest.
            skip: batches to leave out from there on.
            rewarm_steps: steps in which the LR rises from 0; 0 is not to.
            scale: what to multiply the LR by from there on.
            reason: kept in the history.
            request_id: idempotency key; made up where it is empty.
            dry_run: only say where it would go back to.
            timeout: seconds to wait; None is the client's own.
        """
        fields = {
            "step": step,
            "back_steps": back_steps,
            "skip": skip,
            "rewarm_steps": rewarm_steps,
            "scale": scale,
            "reason": reason,
            "dry_run": dry_run,
        }
        return self._ask(calls.roll_back_run(run, request_id, fields), timeout)

    def list_checkpoints(self, run: str) -> list[CheckpointInfo]:
        """Return the checkpoints of a run, oldest first."""
        return self._ask(calls.list_checkpoints(run))

    def watch_run(self, run: str, after_revision: int | None = None) -> Iterator[WatchEvent]:
        """Yield what happens to a run until it ends; decisions after a revision, None from now."""
        return self._listen(calls.watch_run(run, after_revision))

    def export_run(self, run: str, *, undone: int | None = None) -> Iterator[StepRows]:
        """Yield every finished step of a run, in order, in batches.

        Args:
            run: its name.
            undone: revision of a rollback, whose undone steps are yielded instead; None is none.
        """
        return self._listen(calls.export_run(run, undone))

    def change_learning_rate(
        self, run: str, change: Change, *, wait: bool = True, timeout: float | None = None
    ) -> ChangeResult:
        """Change the LR of a run's groups, or a schedule or policy that makes it.

        Args:
            run: its name.
            change: the wish.
            wait: whether to return once it is applied; else at once, without a decision.
            timeout: seconds to wait; None is the client's own. A change that was accepted stays on
                its way: ask again with the same `request_id`.
        """
        return self._ask(calls.change_learning_rate(run, change, wait), timeout)

    def probe_learning_rates(
        self,
        run: str,
        learning_rates: Sequence[float],
        *,
        steps: int,
        groups: Sequence[str] = (),
        timeout: float | None = None,
    ) -> ProbeReport:
        """Train some steps with each LR from a run's present state, which then comes back.

        Args:
            run: its name.
            learning_rates: to be tried, finite, > 0, at most 32; absolute guardrails bind.
            steps: of each trial, >= 2; at most 10,000 over all trials.
            groups: names of those that have the LR; empty means all.
            timeout: seconds to wait; None is the client's own. The run stands still meanwhile.
        """
        return self._ask(calls.probe_learning_rates(run, learning_rates, steps, groups), timeout)

    def list_held_changes(self, run: str) -> tuple[HeldChange, ...]:
        """Return the changes of a run that wait for a second principal's approval, oldest first."""
        return self._ask(calls.list_held_changes(run))

    def approve_change(self, run: str, request_id: str) -> ChangeResult:
        """Carry out a change that waits for approval; who asked for it cannot approve it."""
        return self._ask(calls.approve_change(run, request_id))

    def explain(self, run: str, step: int | None = None) -> Explanation:
        """Return how the LRs of a finished step came about, or how the present ones do."""
        return self._ask(calls.explain(run, step))

    def list_policies(self, run: str) -> tuple[PolicyStatus, ...]:
        """Return where each policy of a run stands."""
        return self._ask(calls.list_policies(run))

    def list_policy_types(self) -> tuple[PolicyType, ...]:
        """Return the policies that can be attached by name."""
        return self._ask(calls.list_policy_types())

    def connect_policy(
        self,
        run: str,
        name: str,
        *,
        mode: str = "async",
        deadline: float | None = None,
        every: int = 1,
        observes: Sequence[str] = (),
        hold_steps: int = 100,
        relax_steps: int = 100,
        shadow: bool = False,
    ) -> PolicyConnection:
        """Become a policy of a run, for the life of the block that the connection opens.

        A run that is starting takes it in at its first step, and so long the block is not entered.
        A name that was here before goes on with its factor as it stands.

        Args:
            run: its name.
            name: the policy's own within the run: lower-case letters, digits and . _ - between
                them, at most 63.
            mode: `async`, where an answer acts at the first step boundary after its arrival, or
                `lockstep`, where the step waits for it, but no longer than the deadline.
            deadline: seconds, > 0 and at most 60, after which an answer comes too late and is
                dropped; required for `lockstep`, None elsewhere is never.
            every: steps from one observation to the next, >= 1.
            observes: costly fields of an observation that it needs, of those in
                `rheostat_policies.api.OBSERVABLE`.
            hold_steps: steps that its factor stays once it has hung up, >= 0.
            relax_steps: steps in which the factor then goes back to 1, >= 0; 0 is never.
            shadow: whether it decides without effect.
        """
        call = policies.connecting(
            run,
            name,
            mode=mode,
            deadline=deadline,
            every=every,
            observes=tuple(observes),
            hold_steps=hold_steps,
            relax_steps=relax_steps,
            shadow=shadow,
        )
        return PolicyConnection(call, self._converse)

    def serve_policy(
        self,
        run: str,
        name: str,
        policy: Policy,
        *,
        reconnect: bool = False,
        **terms: Unpack[Terms],
    ) -> None:
        """Let a policy object steer a run from here; return when the run ends or detaches it.

        What its methods raise is raised here and ends its service: the run goes on without it.

        Args:
            run: its name.
            name: the policy's own within the run.
            policy: decides, as it would inside the trainer; what it `observes` is measured.
            reconnect: whether to come back, with its state and ever longer pauses, when the daemon
                is out of reach after it was there once.
            terms: as for `connect_policy`.
        """
        observes = tuple(getattr(policy, "observes", ()))
        serving.serve(
            policy,
            lambda: self.connect_policy(run, name, observes=observes, **terms),
            lambda: self.get_run(run).phase.is_final,
            reconnect=reconnect,
        )

    def list_decisions(self, run: str, after_revision: int = 0) -> Iterator[DecisionRecord]:
        """Yield a run's history, oldest first."""
        after: int | None = after_revision
        while after is not None:
            page = self._ask(calls.list_decisions(run, after))
            yield from page.items
            after = page.next

    def _ask(self, call: Call[T], timeout: float | None = None) -> T:
        method: Any = self._channel.unary_unary(
            call.path,
            request_serializer=type(call.request).SerializeToString,
            response_deserializer=call.response.FromString,
        )
        seconds = self._timeout if timeout is None else timeout
        try:
            answer = method(call.request, timeout=seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            raise from_rpc_error(error, self.address) from None
        return call.read(answer)

    def _converse(
        self, call: Call[Told], requests: Iterator[Message]
    ) -> Generator[Told, None, None]:
        return converse(
            call,
            requests,
            self._channel,
            metadata=self._metadata,
            address=self.address,
            is_closed=lambda: self._is_closed,
        )

    def _listen(self, call: Call[T]) -> Iterator[T]:
        method: Any = self._channel.unary_stream(
            call.path,
            request_serializer=type(call.request).SerializeToString,
            response_deserializer=call.response.FromString,
        )
        stream = method(call.request, metadata=self._metadata)
        try:
            for answer in stream:
                yield call.read(answer)
        except grpc.RpcError as error:
            if self._is_closed:
                return
            raise from_rpc_error(error, self.address) from None
        finally:
            stream.cancel()
