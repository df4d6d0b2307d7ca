"""A connection that makes this program a policy of a run: observations come, answers go."""

import asyncio
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import suppress
from queue import SimpleQueue
from threading import Condition, Thread
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.message import Message

from rheostat.api.errors import from_rpc_error
from rheostat.client.calls import Call
from rheostat.client.policies import Told, Welcome, answering
from rheostat.errors import Unreachable
from rheostat_policies import KEEP, Action, Observation

MAX_WAITING = 100
"""Observations kept for a program that is slow to take them; of more, the oldest are dropped."""

Converse = Callable[[Call[Told], Iterator[Message]], Generator[Told, None, None]]
"""Makes the call that begins with the hello, says what is to be said, yields what it is told."""


def converse(
    call: Call[Told],
    requests: Iterator[Message],
    channel: grpc.Channel,
    *,
    metadata: tuple[tuple[str, str], ...],
    address: str,
    is_closed: Callable[[], bool],
) -> Generator[Told, None, None]:
    """Say what is to be said, and yield what the daemon says, until either hangs up.

    Args:
        call: what is to be called.
        requests: what is to be said, the hello first.
        channel: to the daemon.
        metadata: what goes along.
        address: of the daemon, for errors.
        is_closed: whether we have closed the channel ourselves, which is no error.

    Raises:
        RheostatError: what the daemon raised, or `Unreachable` where it is gone.
    """
    method: Any = channel.stream_stream(
        call.path,
        request_serializer=type(call.request).SerializeToString,
        response_deserializer=call.response.FromString,
    )
    stream = method(requests, metadata=metadata)
    try:
        for answer in stream:
            yield call.read(answer)
    except grpc.RpcError as error:
        if not is_closed():
            raise from_rpc_error(error, address) from None
    finally:
        stream.cancel()


class _Connection:
    """What connections of both kinds do alike.

    A thread reads what the daemon says as it comes, whether or not somebody asks for it: the
    network would keep thousands of observations for a slow policy, and it would answer each of them
    too late. The asyncio client has that thread too, because gRPC's own asyncio streams tell of
    INTERNAL errors where one side ends while the other speaks (grpc/grpc issue 36066).

    Args:
        call: the one that begins with the hello.
        converse: makes it.
    """

    welcome: Welcome
    """What the daemon said of the run; there once the block is entered."""

    def __init__(self, call: Call[Told], converse: Converse) -> None:
        self._outbox: SimpleQueue[Message | None] = SimpleQueue()
        self._outbox.put(call.request)
        # None hangs up, after the answers before it; gRPC's own thread waits for it.
        self._incoming = converse(call, iter(self._outbox.get, None))
        self._greeting: Welcome | None = None
        self._waiting: deque[Observation] = deque(maxlen=MAX_WAITING)
        self._is_over = False
        self._error: Exception | None = None
        """What ended the conversation, if it did not end well."""
        self._reader = Thread(target=self._read, name="policy reader", daemon=True)

    def answer(
        self,
        observation: Observation,
        action: Action | None = None,
        *,
        factor: float | Mapping[str, float] | None = None,
        ramp_steps: int = 1,
        reason: str = "",
    ) -> None:
        """Send what follows from an observation, as an action or in its parts; return at once.

        It acts at the next step boundary of the run. One that makes no sense, or comes too late,
        changes nothing there and is counted: `list_policies` tells.

        Args:
            observation: the one it answers; those before it count as passed over.
            action: what is wanted, instead of its parts.
            factor: the new factor, for every group or by name; finite, > 0. None keeps the old one.
            ramp_steps: steps in which it gets there, geometrically, >= 1; 1 is at once.
            reason: one sentence for the history.

        Raises:
            InvalidRequest: if a number has more than 64 bits, or the reason is no text.
        """
        parts = Action(factor=factor, ramp_steps=ramp_steps, reason=reason)
        if action is not None and parts != KEEP:
            raise TypeError("answer() takes an action or its parts, not both")
        self._outbox.put(answering(observation, action or parts))

    def _read(self) -> None:
        error: Exception | None = None
        try:
            for told in self._incoming:
                self._hear(told)
        except Exception as raised:
            error = raised
        self._outbox.put(None)
        self._end(error)

    def _hear(self, told: Told) -> None:
        """Take what was said; called in the reader's thread."""
        if isinstance(told, Welcome):
            self._greeting = told
        else:
            self._waiting.append(told)

    def _end(self, error: Exception | None) -> None:
        """Take note that nothing more will be said; called in the reader's thread."""
        self._error, self._is_over = error, True

    def _admit(self) -> None:
        """Take the welcome, or raise what came instead."""
        if self._greeting is None:
            closed = "the client was closed before the run had taken the policy in"
            raise self._error or Unreachable(closed)
        self.welcome = self._greeting


class PolicyConnection(_Connection):
    """One connection of a policy, for a program that blocks.

    A context manager: entering it makes the caller a policy of the run, leaving it hangs up, after
    which the daemon holds the factor and then relaxes it. In between it is an iterator of
    observations, which ends when the run ends or somebody detaches the policy. Who is slow misses
    some. Entering, leaving and iterating raise what `Client` raises.
    """

    def __init__(self, call: Call[Told], converse: Converse) -> None:
        super().__init__(call, converse)
        self._news = Condition()

    def __enter__(self) -> Self:
        self._reader.start()
        try:
            with self._news:
                self._news.wait_for(lambda: self._greeting or self._is_over)
            self._admit()
        except BaseException:
            self._outbox.put(None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._outbox.put(None)
        if error is None:
            self._reader.join()  # the daemon hangs up when it has heard the last answer
            if self._error is not None:
                raise self._error

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Observation:
        with self._news:
            self._news.wait_for(lambda: self._waiting or self._is_over)
            if self._waiting:
                return self._waiting.popleft()
        raise self._error or StopIteration

    def _hear(self, told: Told) -> None:
        with self._news:
            super()._hear(told)
            self._news.notify()

    def _end(self, error: Exception | None) -> None:
        with self._news:
            super()._end(error)
            self._news.notify()


class AsyncPolicyConnection(_Connection):
    """`PolicyConnection` for asyncio: entered, left and iterated with `async`.

    `answer` is the same, and is not awaited.
    """

    def __init__(self, call: Call[Told], converse: Converse) -> None:
        super().__init__(call, converse)
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._reader.start()
        try:
            while not (self._greeting or self._is_over):
                await self._wait()
            self._admit()
        except BaseException:
            self._outbox.put(None)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._outbox.put(None)
        if error is None:
            while not self._is_over:
                await self._wait()
            if self._error is not None:
                raise self._error

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Observation:
        while not (self._waiting or self._is_over):
            await self._wait()
        if self._waiting:
            return self._waiting.popleft()
        raise self._error or StopAsyncIteration

    async def _wait(self) -> None:
        self._news.clear()
        await self._news.wait()

    def _hear(self, told: Told) -> None:
        super()._hear(told)
        self._wake()

    def _end(self, error: Exception | None) -> None:
        super()._end(error)
        self._wake()

    def _wake(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._news.set)
