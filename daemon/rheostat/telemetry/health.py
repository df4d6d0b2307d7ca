"""Health for probes: whether the daemon lives, and whether it takes requests."""

from collections.abc import Callable

from aiohttp import web

from rheostat.door.limits import Limits
from rheostat.telemetry.guarding import paced
from rheostat.web.listening import Listener


class Health:
    """Answers `/healthz` and `/readyz`.

    Args:
        is_ready: what `/readyz` asks, at each request.
    """

    def __init__(self, is_ready: Callable[[], bool]) -> None:
        self._is_ready = is_ready

    async def healthz(self, _: web.Request) -> web.Response:
        """Answer at all, which shows that the event loop turns."""
        return web.Response(text="alive\n")

    async def readyz(self, _: web.Request) -> web.Response:
        """Answer 200 while requests are taken, else 503."""
        if self._is_ready():
            return web.Response(text="ready\n")
        return web.Response(status=503, text="not ready\n")


class HealthServer:
    """Serves health and nothing else, to everybody and without TLS, as kubelets ask for it."""

    def __init__(
        self, *, address: str, is_ready: Callable[[], bool], limits: Limits | None = None
    ) -> None:
        """Prepare; nothing listens before `start`.

        Args:
            address: `host:port`; port 0 takes a free one.
            is_ready: what `/readyz` asks, at each request.
            limits: how much callers may ask for; None is what is usual.
        """
        health = Health(is_ready)
        self._answers = {"/healthz": health.healthz, "/readyz": health.readyz}
        app = web.Application(middlewares=[paced(limits or Limits())])
        app.add_routes([web.route("*", "/{path:.*}", self._answer)])
        self._listener = Listener(app, name="health", address=address)

    async def start(self) -> str:
        """Listen, and return the `host:port` that was bound.

        Raises:
            RheostatError: The address is malformed, taken or not ours to bind.
        """
        return await self._listener.start()

    async def stop(self) -> None:
        """Stop listening."""
        await self._listener.stop()

    async def _answer(self, request: web.Request) -> web.Response:
        answer = self._answers.get(request.path)
        if answer is None or request.method != "GET":
            raise web.HTTPNotFound
        return await answer(request)
