"""The interceptor before every call: who is asking, or no answer."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeAlias
from urllib.parse import unquote

import grpc

from rheostat.api.errors import to_status
from rheostat.api.handling import CALLER, PRINCIPAL_KEY, Context
from rheostat.door.authenticating import Door
from rheostat.door.identity import CertificateNames, Presented, bearer_token
from rheostat.errors import Unauthenticated

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"

_HEALTH = "/grpc.health.v1.Health/"
_MAKERS: dict[str, Callable[..., Handler]] = {
    "unary_unary": grpc.unary_unary_rpc_method_handler,
    "unary_stream": grpc.unary_stream_rpc_method_handler,
    "stream_unary": grpc.stream_unary_rpc_method_handler,
    "stream_stream": grpc.stream_stream_rpc_method_handler,
}


class Guard(grpc.aio.ServerInterceptor):
    """Lets in whom the door knows; health is told to everybody, reflection is not.

    A stream is asked again before each of its messages, so that a token that is taken back ends it.
    """

    def __init__(self, door: Door) -> None:
        self._door = door

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Put the question before the handler of a call."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(_HEALTH):
            return handler
        # Only the handler is given the context with the caller's certificate, so it is wrapped.
        [kind] = [kind for kind in _MAKERS if getattr(handler, kind) is not None]
        return _MAKERS[kind](
            self._guarded(getattr(handler, kind), method),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _guarded(self, handler: Callable[..., Any], method: str) -> Callable[..., Any]:
        async def answer(request: Any, context: Context) -> Any:
            await self._identify(context, method)
            return await handler(request, context)

        async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
            await self._identify(context, method)
            async with aclosing(handler(request, context)) as messages:
                async for message in messages:
                    await self._identify(context, method)
                    yield message

        return stream if inspect.isasyncgenfunction(handler) else answer

    async def _identify(self, context: Context, method: str) -> None:
        try:
            identity = await self._door.identify(_presented(context), to=method)
        except Unauthenticated as error:
            await context.abort_with_status(to_status(error))
        CALLER.set(identity)


def _presented(context: Context) -> Presented:
    metadata = dict(context.invocation_metadata() or ())
    authorization, claim = (
        value if isinstance(value, str) else ""
        for value in (metadata.get("authorization", ""), metadata.get(PRINCIPAL_KEY, ""))
    )
    return Presented(
        peer=context.peer(),
        token=bearer_token(authorization),
        certificate=_certificate(context),
        claim=unquote(claim),
    )


def _certificate(context: Context) -> CertificateNames | None:
    """Return the names in the client's certificate, which TLS has verified."""
    found = context.auth_context()
    if "x509_pem_cert" not in found:
        return None
    uris, dns, emails, common_names = (
        tuple(name.decode(errors="replace") for name in found.get(key, ()))
        for key in ("peer_uri", "peer_dns", "peer_email", "x509_common_name")
    )
    return CertificateNames(
        uris=uris, dns=dns, emails=emails, common_name="".join(common_names[:1])
    )
