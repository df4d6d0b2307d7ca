"""The daemon's end of the sockets to its trainers."""

import asyncio
import hmac
import os
import tempfile
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from rheostat.errors import StorageFailed
from rheostat.runs.frames import encode, to_daemon
from rheostat.runs.live import LiveRun
from rheostat.runs.messages import Hello, ToDaemon

_CHUNK = 2**18
_HELLO_SECONDS = 10.0

log = structlog.get_logger()


class LinkServer:
    """Listens on a UNIX socket in a folder of its own that only this user can enter.

    The folder is temporary because a socket's path may hold 107 bytes, which a state directory
    can exceed. A connection belongs to a run once its Hello carries that run's secret.
    """

    def __init__(
        self,
        find: Callable[[str], LiveRun | None],
        handle: Callable[[LiveRun, ToDaemon], Awaitable[None]],
    ) -> None:
        self._find = find
        self._handle = handle
        self._folder = tempfile.TemporaryDirectory(prefix="rheostat-")
        self.path = str(Path(self._folder.name) / "link.sock")
        self._server: asyncio.Server | None = None
        self._connections: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_unix_server(self._serve, self.path)
        os.chmod(self.path, 0o600)

    async def stop(self) -> None:
        """Hang up on everybody and remove the socket."""
        if self._server is not None:
            self._server.close()
        for connection in self._connections.values():
            connection.cancel()
        await asyncio.gather(*self._connections.values(), return_exceptions=True)
        self._folder.cleanup()

    async def is_drained(self, run: str, seconds: float) -> None:
        """Wait until everything a trainer has sent is handled, at most some seconds."""
        connection = self._connections.get(run)
        if connection is not None:
            await asyncio.wait([connection], timeout=seconds)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        decoder = to_daemon()
        run: LiveRun | None = None
        try:
            messages = await asyncio.wait_for(self._read(reader, decoder.feed), _HELLO_SECONDS)
            run = self._greet(messages)
            if run is None:
                return
            task = asyncio.current_task()
            assert task is not None
            self._connections[run.view.name] = task
            run.connect(lambda message: writer.write(encode(message)))
            messages = messages[1:]
            while True:
                for message in messages:
                    await self._handle(run, message)
                if not (messages := await self._read(reader, decoder.feed)) and reader.at_eof():
                    return
        except (ConnectionError, TimeoutError):
            return
        except StorageFailed as error:
            log.error("link.cut", run=run.view.name if run else "", why=str(error))
        finally:
            if run is not None:
                run.disconnect()
                self._connections.pop(run.view.name, None)
            writer.close()

    async def _read(
        self, reader: StreamReader, feed: Callable[[bytes], list[ToDaemon]]
    ) -> list[ToDaemon]:
        """Return at least one message, or none at the end of the stream."""
        while data := await reader.read(_CHUNK):
            if messages := feed(data):
                return messages
        return []

    def _greet(self, messages: list[ToDaemon]) -> LiveRun | None:
        """Return the run whose trainer is calling, None for a stranger."""
        hello = messages[0] if messages else None
        run = self._find(hello.run) if isinstance(hello, Hello) else None
        if (
            isinstance(hello, Hello)
            and run is not None
            and hmac.compare_digest(hello.token.encode(), run.token.encode())
        ):
            return run
        log.warning("link.refused", reason="no Hello with the secret of a run")
        return None
