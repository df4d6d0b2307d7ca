"""Answers that are remembered for a while."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from rheostat.cluster.calling import CallFailed

K = TypeVar("K")
A = TypeVar("A")

MAX_ANSWERS = 10_000


class Memory(Generic[K, A]):
    """Remembers answers of the API server, the newest ten thousand.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._answers: OrderedDict[K, tuple[A, float]] = OrderedDict()
        self._asking: dict[K, asyncio.Task[A]] = {}

    async def recall(
        self,
        key: K,
        ask: Callable[[], Coroutine[Any, Any, A]],
        yes_seconds: float,
        no_seconds: float,
        stale_seconds: float,
    ) -> A | None:
        """Return an answer: remembered, or asked for. Who asks at the same time shares one call.

        Args:
            key: what it answers.
            ask: gets it, and raises `CallFailed` where nobody answers.
            yes_seconds: how long one that is true is remembered.
            no_seconds: how long another is.
            stale_seconds: how long one that was true still counts where nobody answers.

        Returns:
            The answer; None where there is none.
        """
        now = self._clock()
        if key in self._answers:
            answer, since = self._answers[key]
            if now - since < (yes_seconds if answer else no_seconds):
                return answer
        try:
            fresh = await self._shared(key, ask)
        except CallFailed:
            answer_and_time = self._answers.get(key)
            if answer_and_time is None:
                return None
            answer, since = answer_and_time
            return answer if answer and now - since < stale_seconds else None
        self._answers[key] = (fresh, now)
        self._answers.move_to_end(key)
        if len(self._answers) > MAX_ANSWERS:
            self._answers.popitem(last=False)
        return fresh

    async def _shared(self, key: K, ask: Callable[[], Coroutine[Any, Any, A]]) -> A:
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.create_task(ask(), name="review")
            asking.add_done_callback(lambda _: self._asking.pop(key, None))
        # A caller that hangs up takes the answer from nobody else.
        return await asyncio.shield(asking)
