"""How much callers may ask for: the limits in one place, and who counts."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, fields

from rheostat.errors import ResourceExhausted, Violation

MAX_PRINCIPALS = 10_000
"""Principals whose pace is remembered; where names are not proven, anybody makes up many."""

MAX_READ_AT_ONCE = 32
"""Requests of one principal that are on their way into memory at once; others wait their turn."""
MAX_STRANGERS = 32
"""Calls at once that are begun before it is known whose they are, since they may be anybody's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is refused with RESOURCE_EXHAUSTED beyond. All are at least 1."""

    message_bytes: int = 4 * 2**20
    """Of one request; the largest honest one is a spec."""
    requests_per_minute: int = 12_000
    """Of one principal, the messages of a stream uncounted; twice what our benchmark asks for."""
    streams: int = 100
    """Of one principal at once: watches, exports, remote policies."""
    concurrent_calls: int = 4_000
    """Of all callers together, streams included; no principal can have more than half of them."""

    def violations(self) -> Iterator[Violation]:
        """Yield what makes no sense."""
        for one in fields(self):
            value = getattr(self, one.name)
            if value < 1:
                yield Violation(f"max_{one.name}", str(value), "at least 1")


class Pace:
    """Counts requests and streams by principal.

    Each has a bucket that holds a minute's requests and fills evenly; a request takes one out.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        # What is left in the bucket and when that was so, the longest unused first.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._streams: dict[str | None, int] = {}
        self._calls: dict[str | None, int] = {}
        self._readers: dict[str | None, _Room] = {}

    def request(self, principal: str) -> None:
        """Count a request.

        Raises:
            ResourceExhausted: if there were too many; says when the next one may come.
        """
        most, now = self._limits.requests_per_minute, self._clock()
        left, then = self._buckets.pop(principal, (float(most), now))
        left = min(float(most), left + (now - then) * most / 60.0)
        may = left >= 1.0
        self._buckets[principal] = (left - 1.0 if may else left, now)
        if len(self._buckets) > MAX_PRINCIPALS:
            self._buckets.popitem(last=False)
        if not may:
            raise ResourceExhausted(
                f"more than {most} requests of {principal} in a minute "
                "(--max-requests-per-minute); wait, or watch instead of asking",
                retry_after=(1.0 - left) * 60.0 / most,
            )

    @contextmanager
    def stream(self, principal: str) -> Iterator[None]:
        """Count a stream for the life of the block.

        Raises:
            ResourceExhausted: if there are too many.
        """
        most = self._limits.streams
        if self._streams.get(principal, 0) >= most:
            raise ResourceExhausted(
                f"{principal} has {most} streams open, which is the most (--max-streams); close one"
            )
        with _counted(self._streams, principal):
            yield

    @contextmanager
    def call(self, principal: str | None) -> Iterator[None]:
        """Count a call for the life of the block, so that one caller leaves room for others.

        Args:
            principal: whose call it is; None is anybody's, whom nobody has asked yet.

        Raises:
            ResourceExhausted: if there are too many.
        """
        half = max(1, self._limits.concurrent_calls // 2)
        most = half if principal is not None else min(half, MAX_STRANGERS)
        if self._calls.get(principal, 0) >= most:
            raise ResourceExhausted(
                f"{most} calls of {principal or 'callers that are not known'} are under way, "
                "which is the most (half of --max-concurrent-calls); wait for some to end"
            )
        with _counted(self._calls, principal):
            yield

    @asynccontextmanager
    async def reading(self, principal: str | None) -> AsyncIterator[None]:
        """Wait for room to read a request, and take it for the life of the block.

        Args:
            principal: whose request it is; None is anybody's, read before it is known whose.
        """
        room = self._readers.setdefault(principal, _Room(asyncio.Semaphore(MAX_READ_AT_ONCE)))
        room.users += 1
        try:
            async with room.semaphore:
                yield
        finally:
            room.users -= 1
            if not room.users:
                del self._readers[principal]


@dataclass(slots=True)
class _Room:
    semaphore: asyncio.Semaphore
    users: int = 0
    """Those that wait included."""


@contextmanager
def _counted(counts: dict[str | None, int], principal: str | None) -> Iterator[None]:
    """Count one more of a principal for the life of the block; who has none is forgotten."""
    counts[principal] = counts.get(principal, 0) + 1
    try:
        yield
    finally:
        counts[principal] -= 1
        if not counts[principal]:
            del counts[principal]
