"""The interceptor before every call: who is asking, and whether they may; or no answer."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, aclosing
from typing import Any, TypeAlias

import grpc

from rheostat.api.errors import abort, to_status
from rheostat.api.handling import Context
from rheostat.api.judging import Case, presented, watched
from rheostat.door.authenticating import Door
from rheostat.door.limits import Pace
from rheostat.door.permissions import PERMISSIONS
from rheostat.errors import RheostatError

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"

# On the wire one request is a stream of one. Only of a stream gRPC reads nothing before it is asked
# to: what strangers send would be held in memory until all of it has come.
_MAKERS: dict[str, Callable[..., Handler]] = {
    "unary_unary": grpc.stream_unary_rpc_method_handler,
    "unary_stream": grpc.stream_stream_rpc_method_handler,
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
            return _MAKERS["stream_unary"](self._missing(handler_call_details.method))
        # Only the handler is given the context with the caller's certificate, so it is wrapped.
        [kind] = [kind for kind in _MAKERS if getattr(handler, kind) is not None]
        # Who may not call learns nothing of how a request is read, so the case does it.
        return _MAKERS[kind](
            self._guarded(handler, kind, handler_call_details.method),
            request_deserializer=None,
            response_serializer=handler.response_serializer,
        )

    def _missing(self, method: str) -> Callable[..., Any]:
        """Return what answers calls of an RPC that is not there: to strangers, as all others do."""

        async def answer(_: AsyncIterator[bytes], context: Context) -> None:
            try:
                await self._door.identify(presented(context), to=method)
            except RheostatError as error:
                await abort(context, to_status(error))
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"there is no RPC {method}")

        return answer

    def _guarded(self, handler: Any, kind: str, method: str) -> Callable[..., Any]:
        inner = getattr(handler, kind)

        def opened(context: Context, held: ExitStack) -> Case:
            permission, parse = PERMISSIONS.get(method), handler.request_deserializer
            return Case(self._door, context, method, permission, parse, self._pace, held)

        async def begun(case: Case, requests: AsyncIterator[bytes]) -> Any:
            """Return what the handler is given, once the caller may have an answer."""
            if kind.startswith("unary"):
                return await case.read_one(requests)
            await case.begin()
            return case.read_all(requests)

        async def answer(requests: AsyncIterator[bytes], context: Context) -> Any:
            try:
                with ExitStack() as held:
                    case = opened(context, held)
                    ready = await begun(case, requests)
                    if kind == "unary_unary":
                        return await inner(ready, context)
                    async with watched(case):
                        return await inner(ready, context)
            except RheostatError as error:
                await abort(context, to_status(error))

        async def stream(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[Any]:
            try:
                with ExitStack() as held:
                    case = opened(context, held)
                    ready = await begun(case, requests)
                    async with watched(case), aclosing(inner(ready, context)) as messages:
                        async for message in messages:
                            await case.ask()
                            yield message
            except RheostatError as error:
                await abort(context, to_status(error))

        return stream if inspect.isasyncgenfunction(inner) else answer
