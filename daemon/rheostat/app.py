"""The composition root: one daemon put together from its rooms, from start to drain."""

import asyncio
import fcntl
import json
import os
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from ipaddress import ip_address
from pathlib import Path
from typing import IO, Literal

import structlog

from rheostat.api.server import ApiServer
from rheostat.errors import FailedPrecondition, InvalidRequest, Violation
from rheostat.logs import configure_logs
from rheostat.runs.service import RunService
from rheostat.runs.store import Store
from rheostat.runs.supervisor import Supervisor
from rheostat.telemetry.server import TelemetryServer

DRAIN_SECONDS = 30.0
"""Time that trainers get to reach a step boundary, validate and save before they are killed."""
_STOP_SECONDS = 2.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a daemon is set up."""

    state_dir: Path
    """Its memory: database, run folders, and where the daemon of this folder can be found."""
    address: str = "127.0.0.1:50051"
    """host:port of the control plane; port 0 takes a free one."""
    metrics_address: str = "127.0.0.1:9464"
    """host:port of /metrics, /healthz and /readyz; port 0 takes a free one."""
    max_concurrent_runs: int = 1
    continue_queue: bool = True
    """Whether to train what an earlier daemon left in the queue."""
    log_format: Literal["human", "json"] = "human"
    log_level: str = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where a living daemon answers."""

    address: str
    metrics_address: str | None


def serve(settings: Settings) -> None:
    """Run a daemon until SIGTERM or SIGINT, then drain it.

    Raises:
        RheostatError: if it cannot start: a busy port, a state directory in use, a foreign address.
    """
    configure_logs(settings.log_format, settings.log_level)
    asyncio.run(_serve(settings))


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


def daemon_address(state_dir: Path) -> str | None:
    """Return the address of the daemon that lives on a state directory, None when none does."""
    try:
        with (state_dir / "daemon.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        pass  # somebody holds it: a daemon lives here
    except OSError:
        return None
    else:
        return None
    try:
        return str(json.loads((state_dir / "daemon.json").read_text())["address"])
    except (OSError, ValueError, KeyError):
        return None


async def _serve(settings: Settings) -> None:
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, over.set)
    async with _daemon(settings) as endpoints:
        log.info(
            "daemon.ready",
            address=endpoints.address,
            metrics=f"http://{endpoints.metrics_address}/metrics",
            state_dir=str(settings.state_dir),
        )
        await over.wait()
        log.info("daemon.draining", seconds=DRAIN_SECONDS)
    log.info("daemon.stopped")


@asynccontextmanager
async def _daemon(settings: Settings) -> AsyncIterator[Endpoints]:
    """Run a daemon for the life of the block; leaving it drains."""
    for field in ("address", "metrics_address"):
        _check_loopback(field, getattr(settings, field))
    state_dir = settings.state_dir
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _exclusive(state_dir):
        service = RunService(
            Store(state_dir / "rheostat.db"),
            Supervisor(state_dir / "runs"),
            max_concurrent_runs=settings.max_concurrent_runs,
            clock=time.time,
        )
        is_ready = False
        api = ApiServer(service, address=settings.address)
        telemetry = TelemetryServer(
            service,
            address=settings.metrics_address,
            is_ready=lambda: is_ready,
            version=version("rheostat"),
        )
        await service.start(continue_queue=settings.continue_queue)
        try:
            metrics_address = await telemetry.start()
            address = await api.start()
            endpoints = Endpoints(address=address, metrics_address=metrics_address)
            _write_endpoints(state_dir, endpoints)
            is_ready = True
            yield endpoints
        finally:
            is_ready = False
            # Runs end first, so that watchers see how.
            await service.drain(DRAIN_SECONDS)
            await api.stop(_STOP_SECONDS)
            await telemetry.stop()


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
            # It ends with the command, and would take a run that it has begun with it.
            continue_queue=False,
        )
        async with _daemon(settings) as endpoints:
            yield endpoints


@contextmanager
def _exclusive(state_dir: Path) -> Iterator[None]:
    """Keep other daemons off a state directory; the kernel forgets the lock with the process."""
    lock: IO[str]
    with (state_dir / "daemon.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FailedPrecondition(
                f"another daemon lives on {state_dir} (at {daemon_address(state_dir)}); "
                "talk to that one, or give this one a --state-dir of its own"
            ) from None
        try:
            yield
        finally:
            (state_dir / "daemon.json").unlink(missing_ok=True)


def _write_endpoints(state_dir: Path, endpoints: Endpoints) -> None:
    text = json.dumps(
        {
            "address": endpoints.address,
            "metrics_address": endpoints.metrics_address,
            "pid": os.getpid(),
        }
    )
    beside = state_dir / "daemon.json.partial"
    beside.write_text(text)
    beside.replace(state_dir / "daemon.json")


def _check_loopback(field: str, address: str) -> None:
    """Refuse to listen where strangers can call: nobody is authenticated yet."""
    host = address.rpartition(":")[0].strip("[]")
    if address.startswith("unix:") or host == "localhost":
        return
    try:
        is_loopback = ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        expected = "a loopback address such as 127.0.0.1:50051: callers are not authenticated yet"
        raise InvalidRequest([Violation(field, address, expected)])


def _free_or_any(address: str) -> str:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError:
            return f"{host}:0"
    return address
