"""A daemon inside another program: what `rheostat run` starts where none lives.

`python -m rheostat.embedding STATE_DIR` is the same in a process of its own, for scripts that are
attached: it says on its standard output where it answers, and ends once its standard input does
and no script needs it.
"""

import asyncio
import json
import socket
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import structlog

from rheostat.app import daemon
from rheostat.errors import FailedPrecondition, RheostatError
from rheostat.locating import Endpoints
from rheostat.logs import configure_logs
from rheostat.runs.supervisor import Supervisor
from rheostat.settings import Settings

_LOOK_SECONDS = 0.5
TRAINER_PATIENCE = 30.0
"""Seconds that the trainer of a command that was killed trains on, for the next to find it."""

log = structlog.get_logger()


@contextmanager
def embedded(state_dir: Path) -> Iterator[Endpoints]:
    """Run a daemon in a thread of this process for the life of the block.

    It takes the default ports, or free ones where those are busy, and logs to the state directory.
    """
    loop = asyncio.new_event_loop()
    started: list[Endpoints | BaseException] = []
    is_started, is_over = threading.Event(), asyncio.Event()

    async def live() -> None:
        try:
            async with _embedded_daemon(state_dir) as endpoints:
                started.append(endpoints)
                is_started.set()
                await is_over.wait()
        except BaseException as error:
            started.append(error)
            raise
        finally:
            is_started.set()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            try:
                runner.run(live())
            except Exception:
                if started and isinstance(started[0], BaseException):
                    return  # told to whoever waits for the start
                log.exception("daemon.failed")

    thread = threading.Thread(target=run, name="embedded daemon")
    thread.start()
    try:
        is_started.wait()
        if isinstance(started[0], BaseException):
            raise started[0]
        yield started[0]
    finally:
        if not loop.is_closed():
            loop.call_soon_threadsafe(is_over.set)
        thread.join()


@asynccontextmanager
async def _embedded_daemon(state_dir: Path) -> AsyncIterator[Endpoints]:
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (state_dir / "daemon.log").open("a") as output:
        configure_logs("human", "info", output)
        usual = Settings(state_dir=state_dir)
        settings = Settings(
            state_dir=state_dir,
            address=_free_or_any(usual.address),
            metrics_address=_free_or_any(usual.metrics_address),
            # Whoever runs the command could as well run the code that a spec names.
            trusts_specs=True,
            # It ends with the command, and would take a run that it has begun with it.
            continue_queue=False,
            # Nobody has asked for a service: if the command is killed, its trainer must not go on
            # unseen for days.
            trainer_patience=TRAINER_PATIENCE,
        )
        async with daemon(settings) as endpoints:
            yield endpoints


async def host(state_dir: Path) -> None:
    """Run a daemon for whoever holds the other end of standard input, and for scripts beside it."""
    loop = asyncio.get_running_loop()
    async with _embedded_daemon(state_dir) as endpoints:
        where = {"address": endpoints.address, "metrics_address": endpoints.metrics_address}
        print(json.dumps(where), flush=True)
        await loop.run_in_executor(None, sys.stdin.read)
        while Supervisor(state_dir).any_living():
            await asyncio.sleep(_LOOK_SECONDS)


def main(state_dir: Path) -> int:
    """Host a daemon; return the exit code."""
    try:
        asyncio.run(host(state_dir))
    except RheostatError as error:
        is_taken = isinstance(error, FailedPrecondition)
        print(json.dumps({"problem": str(error), "is_taken": is_taken}), flush=True)
        return 1
    return 0


def _free_or_any(address: str) -> str:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError:
            return f"{host}:0"
    return address


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
