"""The HTTP side of the daemon: metrics for Prometheus, probes for whoever watches the process."""

import ssl
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.aiohttp import make_aiohttp_handler

from rheostat.door.authenticating import Door, open_door
from rheostat.door.limits import Limits
from rheostat.telemetry.collector import RunCollector, RunSource
from rheostat.telemetry.guarding import guard
from rheostat.telemetry.health import Health
from rheostat.web.listening import Listener

_INDEX = """\
rheostat

/metrics  runs, learning rates and losses for Prometheus (text or OpenMetrics, as asked for)
/healthz  200 while the daemon's event loop turns
/readyz   200 while the daemon takes requests, else 503
"""


class TelemetryServer:
    """Serves `/metrics` to whom the door knows, `/healthz` and `/readyz` to everybody."""

    def __init__(
        self,
        source: RunSource,
        *,
        address: str,
        is_ready: Callable[[], bool],
        version: str,
        is_insecure: bool = False,
        door: Door | None = None,
        limits: Limits | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Prepare; nothing listens before `start`.

        Args:
            source: Whose runs are shown.
            address: `host:port`; port 0 takes a free one.
            is_ready: What `/readyz` asks, at each request.
            version: Of Rheostat, for `rheostat_build_info`.
            is_insecure: For `rheostat_insecure`.
            door: Who may see the metrics; by default everybody.
            limits: How much callers may ask for; None is what is usual.
            tls: For HTTPS; None for plain HTTP.
        """
        # A registry of our own: the global one would add the series of any library that uses it.
        registry = CollectorRegistry()
        registry.register(RunCollector(source, version=version, is_insecure=is_insecure))
        registry.register(ProcessCollector(registry=None))
        health = Health(is_ready)
        public = ("/", "/healthz", "/readyz")
        app = web.Application(middlewares=[guard(door or open_door(), but=public, limits=limits)])
        app.add_routes(
            [
                web.get("/", self._index),
                web.get("/metrics", make_aiohttp_handler(registry)),
                web.get("/healthz", health.healthz),
                web.get("/readyz", health.readyz),
            ]
        )
        self._listener = Listener(app, name="metrics", address=address, tls=tls)

    async def start(self) -> str:
        """Listen, and return the `host:port` that was bound.

        Raises:
            RheostatError: The address is malformed, taken or not ours to bind.
        """
        return await self._listener.start()

    async def stop(self) -> None:
        """Stop listening; a scrape under way has two seconds to end."""
        await self._listener.stop()

    async def _index(self, _: web.Request) -> web.Response:
        return web.Response(text=_INDEX)
