"""One HTTP application on one address."""

import errno
import ssl
from urllib.parse import urlsplit

from aiohttp import web

from rheostat.errors import RheostatError

_SHUTDOWN_SECONDS = 2.0
_LINGERING_SECONDS = 1.0  # in which the rest of a body that nobody wanted is thrown away


class Listener:
    """Serves an application on the loop that starts it.

    Args:
        app: what is served.
        name: of the address, for errors: `metrics`.
        address: `host:port`; port 0 takes a free one.
        tls: for HTTPS; None for plain HTTP.
    """

    def __init__(
        self, app: web.Application, *, name: str, address: str, tls: ssl.SSLContext | None = None
    ) -> None:
        self._name = name
        self._address = address
        self._tls = tls
        # One log line per scrape would drown the daemon's own.
        self._runner = web.AppRunner(
            app,
            access_log=None,
            shutdown_timeout=_SHUTDOWN_SECONDS,
            lingering_time=_LINGERING_SECONDS,
        )

    async def start(self) -> str:
        """Listen, and return the `host:port` that was bound.

        Raises:
            RheostatError: The address is malformed, taken or not ours to bind.
        """
        host, port = self._split()
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port, ssl_context=self._tls).start()
        except OSError as error:
            await self._runner.cleanup()
            raise RheostatError(self._why_not(error)) from error
        bound_host, bound_port = self._runner.addresses[0][:2]
        return f"[{bound_host}]:{bound_port}" if ":" in bound_host else f"{bound_host}:{bound_port}"

    async def stop(self) -> None:
        """Stop listening; a request under way has two seconds to end."""
        await self._runner.cleanup()

    def _split(self) -> tuple[str, int]:
        try:
            parts = urlsplit(f"//{self._address}")
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if not host or port is None:
            raise RheostatError(
                f"{self._name} address {self._address!r}: expected host:port, as 127.0.0.1:9464"
            )
        return host, port

    def _why_not(self, error: OSError) -> str:
        if error.errno == errno.EADDRINUSE:
            return (
                f"{self._name} address {self._address} is in use: stop the program that listens "
                f"there, or choose another {self._name} address (port 0 takes a free one)"
            )
        return (
            f"{self._name} address {self._address} cannot be bound: {error.strerror}; "
            "choose another one"
        )
