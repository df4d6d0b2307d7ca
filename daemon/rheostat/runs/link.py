"""The daemon's end of the sockets to its trainers."""

import asyncio
import hmac
import os
import shutil
import tempfile
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import structlog

from rheostat.errors import StorageFailed
from rheostat.runs.durably import replace_durably
from rheostat.runs.frames import BrokenFrame, encode, to_daemon
from rheostat.runs.live import LiveRun
from rheostat.runs.messages import Hello, ToDaemon, Welcome

_CHUNK = 2**18
_HELLO_SECONDS = 10.0
_FOLDER_PREFIX = "rheostat-"

log = structlog.get_logger()


class LinkServer:
    """Listens on a UNIX socket in a folder of its own that only this user can enter.

    The folder is temporary because a socket's path may hold 107 bytes, which a state directory
    can exceed; a file of the state directory says where it is, for trainers that outlive their
    daemon. A connection belongs to a run once its Hello carries that run's secret.

    Args:
        link_file: that file.
        find: returns a run by its name.
        greet: takes a trainer's Hello.
        handle: takes everything else that it says.
    """

    def __init__(
        self,
        link_file: Path,
        find: Callable[[str], LiveRun | None],
        greet: Callable[[LiveRun, Hello], Awaitable[None]],
        handle: Callable[[LiveRun, ToDaemon], Awaitable[None]],
    ) -> None:
        self._link_file = link_file
        self._find = find
        self._greet = greet
        self._handle = handle
        self._folder = tempfile.TemporaryDirectory(prefix=_FOLDER_PREFIX)
        self._path = str(Path(self._folder.name) / "link.sock")
        self._server: asyncio.Server | None = None
        self._connections: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Begin to listen, and let trainers know where."""
        self._remove_leftovers()
        self._server = await asyncio.start_unix_server(self._serve, self._path)
        os.chmod(self._path, 0o600)
        replace_durably(self._link_file, self._path.encode())

    async def stop(self) -> None:
        """Hang up on everybody and remove the socket."""
        if self._server is not None:
            self._server.close()
        for connection in self._connections.values():
            connection.cancel()
        await asyncio.gather(*self._connections.values(), return_exceptions=True)
        self._link_file.unlink(missing_ok=True)
        self._folder.cleanup()

    async def is_drained(self, run: str, seconds: float) -> None:
        """Wait until everything a trainer has sent is handled, at most some seconds."""
        connection = self._connections.get(run)
        if connection is not None:
            await asyncio.wait([connection], timeout=seconds)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        decoder = to_daemon()
        run: LiveRun | None = None
        task = asyncio.current_task()
        assert task is not None
        try:
            messages = await asyncio.wait_for(self._read(reader, decoder.feed), _HELLO_SECONDS)
            hello = messages[0] if messages else None
            run = self._known(hello)
            if run is None or not isinstance(hello, Hello):
                return
            # What the trainer said on the connection before comes before what it says on this one.
            await self.is_drained(run.view.name, _HELLO_SECONDS)
            self._connections[run.view.name] = task
            await self._greet(run, hello)
            welcome = Welcome(revision=run.view.revision, next_row=run.next_row)
            writer.write(encode(welcome))
            run.connect(lambda message: writer.write(encode(message)), hello)
            messages = messages[1:]
            while True:
                for message in messages:
                    await self._handle(run, message)
                if not (messages := await self._read(reader, decoder.feed)) and reader.at_eof():
                    return
        except (ConnectionError, TimeoutError):
            return
        except (StorageFailed, BrokenFrame) as error:
            log.error("link.cut", run=run.view.name if run else "", why=str(error))
        finally:
            if run is not None and self._connections.get(run.view.name) is task:
                run.disconnect()
                del self._connections[run.view.name]
            writer.close()

    async def _read(
        self, reader: StreamReader, feed: Callable[[bytes], list[ToDaemon]]
    ) -> list[ToDaemon]:
        """Return at least one message, or none at the end of the stream."""
        while data := await reader.read(_CHUNK):
            if messages := feed(data):
                return messages
        return []

    def _known(self, hello: ToDaemon | None) -> LiveRun | None:
        """Return the run whose trainer is calling, None for a stranger."""
        run = self._find(hello.run) if isinstance(hello, Hello) else None
        if (
            isinstance(hello, Hello)
            and run is not None
            and hmac.compare_digest(hello.token.encode(), run.token.encode())
        ):
            return run
        log.warning("link.refused", reason="no Hello with the secret of a run")
        return None

    def _remove_leftovers(self) -> None:
        """Remove the socket of a daemon that was killed; nobody else lives on the directory."""
        with suppress(OSError, ValueError):
            folder = Path(self._link_file.read_text()).parent
            if folder.name.startswith(_FOLDER_PREFIX) and folder.stat().st_uid == os.getuid():
                shutil.rmtree(folder)
