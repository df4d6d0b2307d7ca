"""What every handler has around it: errors into statuses, and who is asking."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any, NoReturn, TypeVar

import grpc
import structlog

from rheostat.api.errors import MISTAKE, abort, to_status
from rheostat.door.identity import Identity
from rheostat.errors import InvalidRequest, RheostatError, Violation

S = TypeVar("S")
Q = TypeVar("Q")
A = TypeVar("A")
Context = grpc.aio.ServicerContext[Any, Any]

CALLER: ContextVar[Identity] = ContextVar("caller")
"""Whose call is being answered; gRPC gives each call, interceptors and handler, its own context."""

log = structlog.get_logger()


def answers(
    handler: Callable[[S, Q, Context], Awaitable[A]],
) -> Callable[[S, Q, Context], Awaitable[A]]:
    """Turn the errors of a handler into statuses."""

    @wraps(handler)
    async def handle(servicer: S, request: Q, context: Context) -> A:
        try:
            return await handler(servicer, request, context)
        except RheostatError as error:
            await abort(context, to_status(error))
        except Exception:
            await _abort_internal(context, handler.__name__)

    return handle


def streams(
    handler: Callable[[S, Q, Context], AsyncIterator[A]],
) -> Callable[[S, Q, Context], AsyncIterator[A]]:
    """Turn the errors of a streaming handler into statuses."""

    @wraps(handler)
    async def handle(servicer: S, request: Q, context: Context) -> AsyncIterator[A]:
        try:
            async for answer in handler(servicer, request, context):
                yield answer
        except RheostatError as error:
            await abort(context, to_status(error))
        except Exception:
            await _abort_internal(context, handler.__name__)

    return handle


async def _abort_internal(context: Context, name: str) -> NoReturn:
    log.exception("rpc.failed", rpc=name)
    await abort(context, MISTAKE)


def principal_of(context: Context) -> str:
    """Return who is asking, as the interceptor has found out."""
    identity = CALLER.get(None)
    # A call that passed no interceptor has nothing but the place it comes from.
    return identity.principal if identity is not None else context.peer()


def caller() -> Identity:
    """Return who is asking, as the interceptor has found out."""
    return CALLER.get()


def require_run(name: str) -> str:
    """Return the name of a run, which every request about one must give."""
    if not name:
        raise InvalidRequest([Violation("run", "", "the name of a run")])
    return name


def require_revision(revision: int) -> int:
    """Return a revision to go on after; 0 is the beginning."""
    if revision < 0:
        raise InvalidRequest([Violation("after_revision", str(revision), "0 or greater")])
    return revision


def page_size(asked: int | None, most: int = 1000, usual: int = 100) -> int:
    """Return the size of a page: 1 to `most`, the usual one where none is asked for."""
    if asked is None:
        return usual
    if not 1 <= asked <= most:
        raise InvalidRequest([Violation("page_size", str(asked), f"1 to {most}")])
    return asked
