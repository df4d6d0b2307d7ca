"""The client that awaits."""

import asyncio
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc
from google.protobuf.message import Message

from rheostat.api.errors import from_rpc_error
from rheostat.client import calls, policies, serving
from rheostat.client.calls import Call
from rheostat.client.connections import AsyncPolicyConnection, converse
from rheostat.client.credentials import Credentials, open_async_channel, open_channel
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


class AsyncClient:
    """`Client` for asyncio: the same methods, the same arguments, the same errors."""

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
        self._credentials = credentials
        self._timeout = timeout
        self._metadata = (
            *calls.metadata(principal or calls.default_principal()),
            *credentials.metadata(address),
        )
        self._channel = open_async_channel(address, credentials)
        self._policy_channel: grpc.Channel | None = None
        """For remote policies, which converse in threads."""
        self._is_closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Hang up; streams end."""
        self._is_closed = True
        if self._policy_channel is not None:
            self._policy_channel.close()
        await self._channel.close()

    async def create_run(self, spec: str, *, request_id: str = "", priority: int = 0) -> RunView:
        """Queue a run; see `Client.create_run`."""
        return await self._ask(calls.create_run(spec, request_id, priority))

    async def attach_run(
        self, spec: str, *, resume: bool = False, restores: bool = False, request_id: str = ""
    ) -> Attachment:
        """Make a script a run, which it goes on to train; what `rheostat.attach` calls.

        Args:
            spec: what the script says of itself, as JSON; see `AttachedSpec`.
            resume: whether to go on with the run of that name, if there is one.
            restores: whether the script can be brought to a checkpoint, as one of a fork must be.
            request_id: idempotency key; made up where it is empty.
        """
        return await self._ask(calls.attach_run(spec, resume, restores, request_id))

    async def get_run(self, run: str) -> RunView:
        """Return a run."""
        return await self._ask(calls.get_run(run))

    async def list_runs(self) -> list[RunView]:
        """Return all runs, oldest first."""
        views: list[RunView] = []
        token: str | None = ""
        while token is not None:
            page = await self._ask(calls.list_runs(token))
            views += page.items
            token = page.next
        return views

    async def pause_run(self, run: str) -> RunView:
        """Pause a run; see `Client.pause_run`."""
        return await self._ask(calls.pause_run(run))

    async def resume_run(self, run: str) -> RunView:
        """Resume a run; see `Client.resume_run`."""
        return await self._ask(calls.resume_run(run))

    async def stop_run(self, run: str) -> RunView:
        """Stop a run; see `Client.stop_run`."""
        return await self._ask(calls.stop_run(run))

    async def delete_run(self, run: str) -> None:
        """Delete a run; see `Client.delete_run`."""
        await self._ask(calls.delete_run(run))

    async def evaluate_run(self, run: str, *, timeout: float | None = None) -> Evaluation:
        """Look at the validation set; see `Client.evaluate_run`."""
        return await self._ask(calls.evaluate_run(run), timeout)

    async def save_checkpoint(
        self, run: str, *, pin: bool = False, timeout: float | None = None
    ) -> CheckpointInfo:
        """Take a checkpoint; see `Client.save_checkpoint`."""
        return await self._ask(calls.save_checkpoint(run, pin), timeout)

    async def fork_run(
        self,
        run: str,
        spec: str,
        *,
        step: int | None = None,
        undone: int | None = None,
        precedence: str = "",
        request_id: str = "",
    ) -> RunView:
        """Make a run that goes on from a checkpoint; see `Client.fork_run`."""
        fields = {"step": step, "undone": undone, "precedence": precedence}
        return await self._ask(calls.fork_run(run, spec, request_id, fields))

    async def replay_run(self, run: str, *, request_id: str = "") -> RunView:
        """Make a run that does the same as another one has done; see `Client.replay_run`."""
        return await self._ask(calls.replay_run(run, request_id))

    async def roll_back_run(
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
        """Take a run back to a checkpoint; see `Client.roll_back_run`."""
        fields = {
            "step": step,
            "back_steps": back_steps,
            "skip": skip,
            "rewarm_steps": rewarm_steps,
            "scale": scale,
            "reason": reason,
            "dry_run": dry_run,
        }
        return await self._ask(calls.roll_back_run(run, request_id, fields), timeout)

    async def list_checkpoints(self, run: str) -> list[CheckpointInfo]:
        """Return the checkpoints of a run, oldest first."""
        return await self._ask(calls.list_checkpoints(run))

    def watch_run(self, run: str, after_revision: int | None = None) -> AsyncIterator[WatchEvent]:
        """Yield what happens to a run; see `Client.watch_run`."""
        return self._listen(calls.watch_run(run, after_revision))

    def export_run(self, run: str, *, undone: int | None = None) -> AsyncIterator[StepRows]:
        """Yield a run's steps; see `Client.export_run`."""
        return self._listen(calls.export_run(run, undone))

    async def change_learning_rate(
        self, run: str, change: Change, *, wait: bool = True, timeout: float | None = None
    ) -> ChangeResult:
        """Change the LR of a run's groups; see `Client.change_learning_rate`."""
        return await self._ask(calls.change_learning_rate(run, change, wait), timeout)

    async def probe_learning_rates(
        self,
        run: str,
        learning_rates: Sequence[float],
        *,
        steps: int,
        groups: Sequence[str] = (),
        timeout: float | None = None,
    ) -> ProbeReport:
        """See `Client.probe_learning_rates`."""
        return await self._ask(
            calls.probe_learning_rates(run, learning_rates, steps, groups), timeout
        )

    async def list_held_changes(self, run: str) -> tuple[HeldChange, ...]:
        """Return the changes of a run that wait for a second principal's approval, oldest first."""
        return await self._ask(calls.list_held_changes(run))

    async def approve_change(self, run: str, request_id: str) -> ChangeResult:
        """Carry out a change that waits for approval; who asked for it cannot approve it."""
        return await self._ask(calls.approve_change(run, request_id))

    async def explain(self, run: str, step: int | None = None) -> Explanation:
        """Return how the LRs of a finished step came about, or how the present ones do."""
        return await self._ask(calls.explain(run, step))

    async def list_policies(self, run: str) -> tuple[PolicyStatus, ...]:
        """Return where each policy of a run stands."""
        return await self._ask(calls.list_policies(run))

    async def list_policy_types(self) -> tuple[PolicyType, ...]:
        """Return the policies that can be attached by name."""
        return await self._ask(calls.list_policy_types())

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
    ) -> AsyncPolicyConnection:
        """Become a policy of a run; see `Client.connect_policy`."""
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
        return AsyncPolicyConnection(call, self._converse)

    async def serve_policy(
        self,
        run: str,
        name: str,
        policy: Policy,
        *,
        reconnect: bool = False,
        **terms: Unpack[Terms],
    ) -> None:
        """Let a policy object steer a run from here; see `Client.serve_policy`.

        It decides on the event loop, so what takes long there holds everything else up.
        """
        observes = tuple(getattr(policy, "observes", ()))

        async def has_ended() -> bool:
            return (await self.get_run(run)).phase.is_final

        await serving.serve_async(
            policy,
            lambda: self.connect_policy(run, name, observes=observes, **terms),
            has_ended,
            reconnect=reconnect,
        )

    async def list_decisions(
        self, run: str, after_revision: int = 0
    ) -> AsyncIterator[DecisionRecord]:
        """Yield a run's history, oldest first."""
        after: int | None = after_revision
        while after is not None:
            page = await self._ask(calls.list_decisions(run, after))
            for record in page.items:
                yield record
            after = page.next

    async def _ask(self, call: Call[T], timeout: float | None = None) -> T:
        method: Any = self._channel.unary_unary(
            call.path,
            request_serializer=type(call.request).SerializeToString,
            response_deserializer=call.response.FromString,
        )
        seconds = self._timeout if timeout is None else timeout
        try:
            answer = await method(call.request, timeout=seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            raise from_rpc_error(error, self.address) from None
        return call.read(answer)

    def _converse(
        self, call: Call[Told], requests: Iterator[Message]
    ) -> Generator[Told, None, None]:
        if self._policy_channel is None:
            self._policy_channel = open_channel(self.address, self._credentials)
        return converse(
            call,
            requests,
            self._policy_channel,
            metadata=self._metadata,
            address=self.address,
            is_closed=lambda: self._is_closed,
        )

    async def _listen(self, call: Call[T]) -> AsyncIterator[T]:
        method: Any = self._channel.unary_stream(
            call.path,
            request_serializer=type(call.request).SerializeToString,
            response_deserializer=call.response.FromString,
        )
        stream = method(call.request, metadata=self._metadata)
        try:
            async for answer in stream:
                yield call.read(answer)
        except asyncio.CancelledError:
            # gRPC says so when the channel is closed too, and then nobody cancelled this task.
            task = asyncio.current_task()
            if not self._is_closed or (task is not None and task.cancelling()):
                raise
        except grpc.RpcError as error:
            raise from_rpc_error(error, self.address) from None
        finally:
            stream.cancel()
