"""The HTTP side of the daemon: metrics for Prometheus, probes for whoever watches the process."""

import errno
from collections.abc import Callable
from urllib.parse import urlsplit

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.aiohttp import make_aiohttp_handler

from rheostat.errors import RheostatError
from rheostat.telemetry.collector import RunCollector, RunSource

_SHUTDOWN_SECONDS = 2.0

_INDEX = """\
rheostat

/metrics  runs, learning rates and losses for Prometheus (text or OpenMetrics, as asked for)
/healthz  200 while the daemon's event loop turns
/readyz   200 while the daemon takes requests, else 503
"""


class TelemetryServer:
    """Serves `/metrics`, `/healthz` and `/readyz` on the loop that starts it."""

    def __init__(
        self, source: RunSource, *, address: str, is_ready: Callable[[], bool], version: str
    ) -> None:
        """Prepare; nothing listens before `start`.

        Args:
            source: Whose runs are shown.
            address: `host:port`; port 0 takes a free one.
            is_ready: What `/readyz` asks, at each request.
            version: Of Rheostat, for `rheostat_build_info`.
        """
        self._address = address
        self._is_ready = is_ready
        # A registry of our own: the global one would add the series of any library that uses it.
        registry = CollectorRegistry()
        registry.register(RunCollector(source, version=version))
        app = web.Application()
        app.add_routes(
            [
                web.get("/", self._index),
                web.get("/metrics", make_aiohttp_handler(registry)),
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
            ]
        )
        # One log line per scrape would drown the daemon's own.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)

    async def start(self) -> str:
        """Listen, and return the `host:port` that was bound.

        Raises:
            RheostatError: The address is malformed, taken or not ours to bind.
        """
        host, port = _split(self._address)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise RheostatError(_why_not(self._address, error)) from error
        bound_host, bound_port = self._runner.addresses[0][:2]
        return f"[{bound_host}]:{bound_port}" if ":" in bound_host else f"{bound_host}:{bound_port}"

    async def stop(self) -> None:
        """Stop listening; a scrape under way has two seconds to end."""
        await self._runner.cleanup()

    async def _index(self, _: web.Request) -> web.Response:
        return web.Response(text=_INDEX)

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        if self._is_ready():
            return web.Response(text="ready\n")
        return web.Response(status=503, text="not ready\n")


def _split(address: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or port is None:
        raise RheostatError(f"metrics address {address!r}: expected host:port, as 127.0.0.1:9464")
    return host, port


def _why_not(address: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"metrics address {address} is in use: stop the program that listens there, "
            "or choose another metrics address (port 0 takes a free one)"
        )
    return f"metrics address {address} cannot be bound: {error.strerror}; choose another one"
