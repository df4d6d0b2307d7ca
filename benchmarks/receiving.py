"""The daemon's side of the overhead benchmark: everything it does with telemetry, but no API."""

import asyncio
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from rheostat.runs.frames import to_daemon
from rheostat.runs.histogram import Histogram
from rheostat.runs.messages import Decided, Telemetry
from rheostat.runs.store import Store


def receive(socket: str, pipe: "Connection[Any, Any]") -> None:
    """Serve one trainer until told to stop, then say how many step rows arrived."""
    asyncio.run(_receive(socket, pipe))


async def _receive(socket: str, pipe: "Connection[Any, Any]") -> None:
    rows = 0
    histogram = Histogram()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal rows
        decoder = to_daemon()
        while data := await reader.read(2**18):
            for message in decoder.feed(data):
                if isinstance(message, Telemetry) and message.rows is not None:
                    histogram.observe_many(message.rows.duration)
                    rows += message.rows.count
        writer.close()

    server = await asyncio.start_unix_server(serve, socket)
    pipe.send("ready")
    await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
    await asyncio.sleep(0.2)
    pipe.send(rows)
    server.close()
