"""A connection that makes this program a policy of a run: observations come, answers go."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping
from queue import SimpleQueue
from threading import Condition, Thread
from types import TracebackType
from typing import Self

from google.protobuf.message import Message

from rheostat.client.calls import Call
from rheostat.client.policies import Told, Welcome, answering
from rheostat_policies import KEEP, Action, Observation

MAX_WAITING = 100
"""Observations kept for a program that is slow to take them; of more, the oldest are dropped."""


class _Connection:
    """What connections of both kinds do alike.

    What the daemon says is read as it comes, whether or not somebody asks for it: the network
    would keep thousands of observations for a slow policy, and its answers come too late for ever.
    """

    welcome: Welcome
    """What the daemon said of the run; there once the block is entered."""

    _outbox: SimpleQueue[Message | None] | asyncio.Queue[Message | None]
    """The hello and the answers; None hangs up after those before it."""

    def __init__(self) -> None:
        self._waiting: deque[Told] = deque(maxlen=MAX_WAITING)
        self._is_over = False
        self._error: Exception | None = None
        """What ended the conversation, if it did not end well."""

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
        self._outbox.put_nowait(answering(observation, action or parts))


class PolicyConnection(_Connection):
    """One connection of a policy, for a program that blocks.

    A context manager: entering it makes the caller a policy of the run, leaving it hangs up, after
    which the daemon holds the factor and then relaxes it. In between it is an iterator of
    observations, which ends when the run ends or somebody detaches the policy. Who is slow misses
    some. Entering, leaving and iterating raise what `Client` raises.

    Args:
        call: the one that begins with the hello.
        listen: makes it, and yields what the daemon says to what is said.
    """

    def __init__(
        self,
        call: Call[Told],
        listen: Callable[[Call[Told], Iterator[Message]], Generator[Told, None, None]],
    ) -> None:
        super().__init__()
        self._outbox: SimpleQueue[Message | None] = SimpleQueue()
        self._outbox.put(call.request)
        self._incoming = listen(call, iter(self._outbox.get, None))
        self._news = Condition()
        self._reader = Thread(target=self._read, name="policy reader", daemon=True)

    def __enter__(self) -> Self:
        try:
            self.welcome = _first(next(self._incoming))
        except BaseException:
            self._outbox.put(None)  # or gRPC's thread would wait for answers for ever
            raise
        self._reader.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._outbox.put(None)
        if error is None:
            self._reader.join()  # the last answers have arrived once the daemon hangs up too
            if self._error is not None:
                raise self._error

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Observation:
        with self._news:
            self._news.wait_for(lambda: self._waiting or self._is_over)
            if self._waiting:
                return _later(self._waiting.popleft())
        raise self._error or StopIteration

    def _read(self) -> None:
        try:
            for told in self._incoming:
                with self._news:
                    self._waiting.append(told)
                    self._news.notify()
        except Exception as error:
            self._error = error
        with self._news:
            self._is_over = True
            self._news.notify()


class AsyncPolicyConnection(_Connection):
    """`PolicyConnection` for asyncio: entered, left and iterated with `async`.

    `answer` is the same, and is not awaited.
    """

    def __init__(
        self,
        call: Call[Told],
        listen: Callable[[Call[Told], AsyncIterator[Message]], AsyncGenerator[Told, None]],
    ) -> None:
        super().__init__()
        self._outbox: asyncio.Queue[Message | None] = asyncio.Queue()
        self._outbox.put_nowait(call.request)
        self._incoming = listen(call, self._outgoing())
        self._news = asyncio.Event()
        self._reader: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        self.welcome = _first(await anext(self._incoming))
        self._reader = asyncio.create_task(self._read(), name="policy reader")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._outbox.put_nowait(None)
        if error is not None:
            self._reader.cancel()
        await asyncio.wait([self._reader])
        if error is None and self._error is not None:
            raise self._error

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Observation:
        while not self._waiting:
            if self._is_over:
                raise self._error or StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return _later(self._waiting.popleft())

    async def _read(self) -> None:
        try:
            async for told in self._incoming:
                self._waiting.append(told)
                self._news.set()
        except Exception as error:
            self._error = error
        finally:
            self._is_over = True
            self._news.set()

    async def _outgoing(self) -> AsyncIterator[Message]:
        while (request := await self._outbox.get()) is not None:
            yield request


def _first(told: Told) -> Welcome:
    assert isinstance(told, Welcome), "the welcome comes first"
    return told


def _later(told: Told) -> Observation:
    assert isinstance(told, Observation), "there is one welcome"
    return told
