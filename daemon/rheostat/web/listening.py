"""One HTTP application on one address."""

import asyncio
import errno
import logging
import ssl
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler

from rheostat.errors import RheostatError

_SHUTDOWN_SECONDS = 2.0
HANDSHAKE_SECONDS = 10.0
"""Time in which a new connection must have shaken hands and sent a whole request."""


def _shorten(record: logging.LogRecord) -> bool:
    """Make one line of a request that is none: the traceback is of the parser, and of no use."""
    found = record.exc_info[1] if record.exc_info else None
    if isinstance(found, HttpProcessingError):
        record.msg, record.args = f"{record.getMessage()}: {found.message.splitlines()[0]}", ()
        record.exc_info, record.exc_text = None, None
    return True


logging.getLogger("aiohttp.server").addFilter(_shorten)


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
        self._server: asyncio.Server | None = None
        self._silent: dict[asyncio.Protocol, asyncio.TimerHandle] = {}
        app.middlewares.insert(0, self._hear)
        self._runner = web.AppRunner(
            app,
            access_log=None,  # one line per scrape would drown the daemon's own
            shutdown_timeout=_SHUTDOWN_SECONDS,
            lingering_time=0,  # a body that nobody wanted is hung up on, not read to its end
        )

    async def start(self) -> str:
        """Listen, and return the `host:port` that was bound.

        Raises:
            RheostatError: The address is malformed, taken or not ours to bind.
        """
        host, port = self._split()
        await self._runner.setup()
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._connection,
                host,
                port,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if self._tls is not None else None,
            )
        except OSError as error:
            await self._runner.cleanup()
            raise RheostatError(self._why_not(error)) from error
        bound_host, bound_port = self._server.sockets[0].getsockname()[:2]
        return f"[{bound_host}]:{bound_port}" if ":" in bound_host else f"{bound_host}:{bound_port}"

    async def stop(self) -> None:
        """Stop listening; a request under way has two seconds to end."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    def _connection(self) -> asyncio.Protocol:
        """Return what handles a new connection, which is closed if nothing comes of it."""
        server = self._runner.server
        assert server is not None
        protocol = server()

        def end() -> None:
            del self._silent[protocol]
            protocol.force_close()

        loop = asyncio.get_running_loop()
        self._silent[protocol] = loop.call_later(HANDSHAKE_SECONDS, end)
        return protocol

    @web.middleware
    async def _hear(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Note that a connection is one that asks."""
        timer = self._silent.pop(request.protocol, None)
        if timer is not None:
            timer.cancel()
        return await handler(request)

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
