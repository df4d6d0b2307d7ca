"""One call before the door: what it presents, what it takes, and whether that still holds."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from typing import Any
from urllib.parse import unquote

from google.protobuf.message import DecodeError

from rheostat.api.handling import CALLER, Context
from rheostat.door.authenticating import Door
from rheostat.door.identity import PRINCIPAL_KEY, CertificateNames, Presented, bearer_token
from rheostat.door.limits import Pace
from rheostat.door.permissions import Permission
from rheostat.door.roles import Reach, Right
from rheostat.errors import InvalidRequest, PermissionDenied, RheostatError, Violation

ASK_AGAIN_SECONDS = 5.0
"""Time after which a stream that says nothing is judged again."""

READ_SECONDS = 10.0
"""Time in which a request must have come."""
STRANGER_SECONDS = 1.0
"""The same where it is read before anybody is asked: it is then an empty one, or not honest."""


class Case:
    """One call.

    Args:
        door: who is asked.
        context: of the call.
        method: its full name, `/rheostat.v1.Runs/GetRun`.
        permission: what it takes; None is for nobody.
        parse: turns bytes into a request.
        pace: counts calls, requests and streams.
        held: what is let go of when the call is over.
    """

    def __init__(
        self,
        door: Door,
        context: Context,
        method: str,
        permission: Permission | None,
        parse: Callable[[bytes], Any],
        pace: Pace,
        held: ExitStack,
    ) -> None:
        self._door = door
        self._method = method
        self._permission = permission
        self._parse = parse
        self._pace = pace
        self._held = held
        self._presented = presented(context)
        self._right = Right(permission.role, Reach.SOME) if permission is not None else None
        self._is_public = False
        self._has_begun = False

    async def ask(self) -> None:
        """Judge the caller by what the call takes as far as is known.

        Raises:
            Unauthenticated, PermissionDenied: if there is to be no answer.
        """
        if self._is_public:
            return
        identity = await self._door.identify(self._presented, to=self._method)
        if self._right is None:
            raise PermissionDenied(f"{self._method} is for nobody")
        await self._door.permit(identity, self._right, to=self._method)
        CALLER.set(identity)

    async def read(self, content: bytes) -> Any:
        """Return a request that the caller may make.

        Raises:
            Unauthenticated, PermissionDenied: if it may not.
            InvalidRequest: if the bytes are none.
        """
        if (request := self._public(content)) is not None:
            self._is_public = True
            return request
        # Once before a request is read, and once more for the run that it names.
        await (self.ask() if self._has_begun else self.begin())
        request = self._parsed(content)
        if self._permission is not None:
            right = self._permission.right_to(request)
            if right is not None and right != self._right:
                self._right = right
                await self.ask()
        return request

    async def read_one(self, contents: AsyncIterator[bytes]) -> Any:
        """Return the one request of a call, of which nothing is taken before the caller may ask.

        Raises:
            Unauthenticated, PermissionDenied, ResourceExhausted: if it may not.
            InvalidRequest: if there is none, it is none, or it takes too long to come.
        """
        if self._permission is not None and self._permission.public is not None:
            self._held.enter_context(self._pace.call(None))
            content = await self._first(contents, None)
        else:
            await self.begin()
            content = await self._first(contents, CALLER.get().principal)
        return await self.read(content)

    async def read_all(self, contents: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        """Yield the requests of a stream, as long as the caller may make them."""
        async for content in contents:
            yield await self.read(content)

    async def begin(self) -> None:
        """Judge the caller, and count a request of its.

        Raises:
            Unauthenticated, PermissionDenied: as `ask` does.
            ResourceExhausted: if there were too many.
        """
        await self.ask()
        self._has_begun = True
        self._pace.request(CALLER.get().principal)
        self._held.enter_context(self._pace.call(CALLER.get().principal))

    def counted(self) -> AbstractContextManager[None]:
        """Count the call as a stream for the life of a block."""
        return self._pace.stream(CALLER.get().principal)

    async def _first(self, contents: AsyncIterator[bytes], principal: str | None) -> bytes:
        seconds = READ_SECONDS if principal is not None else STRANGER_SECONDS
        try:
            async with asyncio.timeout(seconds), self._pace.reading(principal):
                return await anext(contents)
        except (TimeoutError, StopAsyncIteration) as error:
            expected = f"one whole message within {seconds:g} seconds"
            raise InvalidRequest([Violation("request", "", expected)]) from error

    def _public(self, content: bytes) -> Any:
        """Return a request that is for everybody; None where it is another one, or none."""
        if self._permission is None or self._permission.public is None:
            return None
        try:
            request = self._parse(content)
        except DecodeError:
            return None
        return request if self._permission.public(request) else None

    def _parsed(self, content: bytes) -> Any:
        try:
            return self._parse(content)
        except DecodeError as error:
            expected = f"the message that {self._method} takes"
            raise InvalidRequest([Violation("request", "", expected)]) from error


@asynccontextmanager
async def watched(case: Case) -> AsyncIterator[None]:
    """Judge a call every few seconds for the life of the block, and end it where it may not go on.

    Raises:
        Unauthenticated, PermissionDenied: in the block, wherever it waits.
        ResourceExhausted: if the caller has too many streams.
    """
    with case.counted():
        async with _judged(case):
            yield


@asynccontextmanager
async def _judged(case: Case) -> AsyncIterator[None]:
    call = asyncio.current_task()
    assert call is not None
    refusal: RheostatError | None = None

    async def judge() -> None:
        nonlocal refusal
        while refusal is None:
            await asyncio.sleep(ASK_AGAIN_SECONDS)
            try:
                await case.ask()
            except RheostatError as error:
                refusal = error
        call.cancel()

    judging = asyncio.create_task(judge(), name="judge of a stream")
    try:
        yield
    except asyncio.CancelledError:
        if refusal is None:
            raise
        call.uncancel()
        raise refusal from None
    finally:
        judging.cancel()


def presented(context: Context) -> Presented:
    """Return what a call brings along to prove whose it is."""
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
