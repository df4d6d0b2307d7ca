"""The gate before every call of the page: who is asking, and whether they may; or no answer."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from rheostat.door.addresses import is_loopback
from rheostat.door.authenticating import Door
from rheostat.door.identity import Identity
from rheostat.door.limits import Limits, Pace
from rheostat.door.permissions import PERMISSIONS
from rheostat.door.roles import Reach, Right, Role
from rheostat.errors import (
    InvalidRequest,
    PermissionDenied,
    ResourceExhausted,
    RheostatError,
    Violation,
)
from rheostat.page.answering import answer, refusal
from rheostat.web.presenting import presented

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Call:
    """One request of somebody who may make it."""

    request: web.Request
    identity: Identity
    gate: "Gate"
    right: Right | None

    @property
    def run(self) -> str:
        """The run that it is about."""
        return self.request.match_info["run"]

    async def ask(self) -> None:
        """Judge the caller once more.

        Raises:
            Unauthenticated, PermissionDenied: if the call may not go on.
        """
        await self.gate.judge(self.request, self.right)

    async def shows(self, run: str) -> bool:
        """Whether the caller may see a run."""
        return await self.gate.door.allows(self.identity, Right(Role.VIEWER, run))

    async def role_for(self, run: str) -> Role | None:
        """Return the greatest role that the caller has for a run."""
        for role in reversed(Role):
            if await self.gate.door.allows(self.identity, Right(role, run)):
                return role
        return None


Answerer = Callable[[Call], Awaitable[web.StreamResponse]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Gate:
    """Lets calls in, each to what its RPC takes.

    Args:
        door: who is asked about callers.
        limits: how much may be asked for.
        pace: counts requests and streams by principal, those of the gRPC side too.
        is_open: whether callers are taken at their word, since only this machine can call. Other
            sites in a browser of this machine must then be kept out by their names.
    """

    def __init__(self, door: Door, limits: Limits, pace: Pace, *, is_open: bool) -> None:
        self.door = door
        self.pace = pace
        self._limits = limits
        self._is_open = is_open
        self._calls = 0

    def lets(self, rpc: str | None, answerer: Answerer) -> Handler:
        """Return the handler of a call.

        Args:
            rpc: what does the same over gRPC, e.g. `Runs/GetRun`; None takes a known caller.
            answerer: what answers those who may call.
        """
        permission = PERMISSIONS[f"/rheostat.v1.{rpc}"] if rpc is not None else None

        async def handle(request: web.Request) -> web.StreamResponse:
            right = None
            if permission is not None:
                run = request.match_info["run"] if permission.run else Reach.SOME
                right = Right(permission.role, run)
            try:
                with self._counted():
                    identity = await self.judge(request, right)
                    self._check_origin(request)
                    self.pace.request(identity.principal)
                    return await answerer(Call(request, identity, self, right))
            except RheostatError as error:
                return refusal(error)
            except web.HTTPRequestEntityTooLarge:
                most = self._limits.message_bytes
                text = f"a request has at most {most} bytes (--max-message-bytes)"
                return refusal(ResourceExhausted(text))
            except web.HTTPException:
                raise
            except Exception:
                log.exception("page.failed", path=request.path)
                text = "the daemon made a mistake; its log has the details"
                return answer({"code": "internal", "message": text, "violations": []}, status=500)

        return handle

    async def judge(self, request: web.Request, right: Right | None) -> Identity:
        """Return who is asking.

        Raises:
            Unauthenticated, PermissionDenied: if there is to be no answer.
        """
        identity = await self.door.identify(presented(request), to=request.path)
        if right is not None:
            await self.door.permit(identity, right, to=request.path)
        return identity

    @contextmanager
    def _counted(self) -> Iterator[None]:
        most = self._limits.concurrent_calls
        if self._calls >= most:
            raise ResourceExhausted(
                f"{most} calls are being answered, which is the most (--max-concurrent-calls)"
            )
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1

    def _check_origin(self, request: web.Request) -> None:
        """Keep other sites out that a browser shows to whoever may call.

        A token they do not have, and a browser sends none by itself. But an address on loopback
        asks for none, so there a name that leads here and is not this machine's is refused (DNS
        rebinding), and what changes something must be JSON from this very origin.

        Raises:
            PermissionDenied: if another site is asking.
            InvalidRequest: if what is to change something is not JSON.
        """
        host = request.host
        if self._is_open and not is_loopback(host if _has_port(host) else f"{host}:80"):
            raise PermissionDenied(f"{host} is not a name of this machine's loopback")
        if request.method == "GET":
            return
        origin = request.headers.get("Origin")
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        if site != "same-origin" or (origin is not None and urlsplit(origin).netloc != host):
            raise PermissionDenied("another site is asking")
        if request.content_type != "application/json":
            expected = "application/json"
            raise InvalidRequest([Violation("Content-Type", request.content_type, expected)])


def _has_port(host: str) -> bool:
    return host.rpartition(":")[2].isdecimal() and not host.endswith("]")
