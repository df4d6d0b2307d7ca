"""A local policy object as a remote one: asked here, over a connection that may be renewed."""

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Iterator

from rheostat.client.connections import AsyncPolicyConnection, PolicyConnection
from rheostat.errors import DeadlineExceeded, FailedPrecondition, Unreachable
from rheostat_policies import Policy, State

_TEMPORARY = (Unreachable, DeadlineExceeded, FailedPrecondition)
"""What may be over in a while. A precondition fails while the daemon still believes in the
connection that was lost, or is about to find that the run has ended."""
_FIRST_PAUSE_SECONDS = 0.1
_DOUBLINGS = 7
"""To a longest pause of 12.8 seconds."""


def serve(
    policy: Policy,
    connect: Callable[[], PolicyConnection],
    has_ended: Callable[[], bool],
    *,
    reconnect: bool,
) -> None:
    """Let a policy decide until its run ends or detaches it.

    Args:
        policy: what decides; its state stays here, over all connections.
        connect: makes a connection to the run.
        has_ended: asks whether the run is over.
        reconnect: whether to try again and again, once the first connection has worked.
    """
    state: State = None
    has_begun, pauses = False, _pauses()
    while True:
        try:
            if has_begun and has_ended():
                return
            with connect() as connection:
                if not has_begun:
                    state, has_begun = policy.initial_state(connection.welcome.info), True
                pauses = _pauses()
                for observation in connection:
                    action, state = policy.decide(state, observation)
                    connection.answer(observation, action)
            return
        except _TEMPORARY:
            if not (reconnect and has_begun):
                raise
        time.sleep(next(pauses))


async def serve_async(
    policy: Policy,
    connect: Callable[[], AsyncPolicyConnection],
    has_ended: Callable[[], Awaitable[bool]],
    *,
    reconnect: bool,
) -> None:
    """Let a policy decide until its run ends or detaches it; see `serve`."""
    state: State = None
    has_begun, pauses = False, _pauses()
    while True:
        try:
            if has_begun and await has_ended():
                return
            async with connect() as connection:
                if not has_begun:
                    state, has_begun = policy.initial_state(connection.welcome.info), True
                pauses = _pauses()
                async for observation in connection:
                    action, state = policy.decide(state, observation)
                    connection.answer(observation, action)
            return
        except _TEMPORARY:
            if not (reconnect and has_begun):
                raise
        await asyncio.sleep(next(pauses))


def _pauses() -> Iterator[float]:
    """Yield seconds between attempts: ever longer, and no two policies in step."""
    for doublings in itertools.count():
        longest: float = _FIRST_PAUSE_SECONDS * 2 ** min(doublings, _DOUBLINGS)
        yield random.uniform(longest / 2, longest)
