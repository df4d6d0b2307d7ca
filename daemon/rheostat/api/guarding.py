"""The interceptor before every call: who is asking, and whether they may; or no answer."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc

from rheostat.api.errors import to_status
from rheostat.api.handling import Context
from rheostat.api.judging import Case, watched
from rheostat.api.permissions import PERMISSIONS
from rheostat.door.authenticating import Door
from rheostat.door.limits import Pace
from rheostat.errors import RheostatError

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"

_MAKERS: dict[str, Callable[..., Handler]] = {
    "unary_unary": grpc.unary_unary_rpc_method_handler,
    "unary_stream": grpc.unary_stream_rpc_method_handler,
    "stream_unary": grpc.stream_unary_rpc_method_handler,
    "stream_stream": grpc.stream_stream_rpc_method_handler,
}


class Guard(grpc.aio.ServerInterceptor):
    """Lets in whom the door knows, to what they may do.

    A stream is judged again at each of its messages, and every few seconds between them, so that a
    token or a role that is taken back ends it.
    """

    def __init__(self, door: Door, pace: Pace) -> None:
        self._door = door
        self._pace = pace

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Put the questions before the handler of a call."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        # Only the handler is given the context with the caller's certificate, so it is wrapped.
        [kind] = [kind for kind in _MAKERS if getattr(handler, kind) is not None]
        # gRPC would read a request before it asks anybody; who may not call learns nothing of it.
        return _MAKERS[kind](
            self._guarded(handler, kind, handler_call_details.method),
            request_deserializer=None,
            response_serializer=handler.response_serializer,
        )

    def _guarded(self, handler: Any, kind: str, method: str) -> Callable[..., Any]:
        inner = getattr(handler, kind)

        def opened(context: Context) -> Case:
            permission, parse = PERMISSIONS.get(method), handler.request_deserializer
            return Case(self._door, context, method, permission, parse, self._pace)

        async def begun(case: Case, request: Any) -> Any:
            """Return what the handler is given, once the caller may have an answer."""
            if kind.startswith("unary"):
                return await case.read(request)
            await case.begin()
            return case.read_all(request)

        async def answer(request: Any, context: Context) -> Any:
            case = opened(context)
            try:
                ready = await begun(case, request)
                if kind == "unary_unary":
                    return await inner(ready, context)
                async with watched(case):
                    return await inner(ready, context)
            except RheostatError as error:
                await context.abort_with_status(to_status(error))

        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            case = opened(context)
            try:
                ready = await begun(case, request)
                async with watched(case), aclosing(inner(ready, context)) as messages:
                    async for message in messages:
                        await case.ask()
                        yield message
            except RheostatError as error:
                await context.abort_with_status(to_status(error))

        return stream if inspect.isasyncgenfunction(inner) else answer
