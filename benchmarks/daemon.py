"""A whole daemon in a process of its own, for a trainer that the benchmark runs itself.

Everything is the product's: store, service, API, telemetry, the link. Only the supervisor is not,
because the benchmark is the trainer: instead of starting one it hands over the socket and secret.
With it come the clients of a busy day: watchers, a scraper, and people asking things.
"""

import asyncio
import json
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import aiohttp

from rheostat.api.server import ApiServer
from rheostat.client import AsyncClient
from rheostat.logs import configure_logs
from rheostat.runs.service import RunService
from rheostat.runs.store import Store
from rheostat.runs.supervisor import Supervisor
from rheostat.spec.models import Spec
from rheostat.steering.records import Change, Verb
from rheostat.telemetry.server import TelemetryServer
from rheostat.trainer.link import Link

Pipe = Connection


class HandOver(Supervisor):
    """Gives a trainer's socket and secret to the benchmark instead of starting one."""

    def __init__(self, folder: Path, pipe: Pipe) -> None:
        super().__init__(folder)
        self._pipe = pipe
        self._is_over = asyncio.Event()

    async def start(self, run: str, spec: str, link: str, token: str) -> int:
        self._pipe.send((link, token))
        return 0

    async def wait(self, run: str) -> int:
        await self._is_over.wait()
        return 0

    def end(self) -> None:
        self._is_over.set()


@contextmanager
def daemon(spec: Spec, *, watchers: int, requests_per_second: int) -> Iterator[Link]:
    """Yield the link to a daemon that is being watched, scraped each second and asked things."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(spec.model_dump_json(), theirs), daemon=True)
    process.start()
    address, metrics = ours.recv()
    door, token = ours.recv()
    load = (spec.name, address, metrics, watchers, requests_per_second)
    clients = context.Process(target=_clients, args=load, daemon=True)
    clients.start()
    link = Link(door)
    link.hello(spec.name, token, 0)
    try:
        yield link
    finally:
        clients.terminate()
        clients.join()
        ours.send("stop")
        link.close()
        process.join(timeout=30)


def _run(spec: str, pipe: Pipe) -> None:
    with tempfile.TemporaryDirectory() as folder, open("/dev/null", "w") as nowhere:
        configure_logs("human", "error", nowhere)
        asyncio.run(_serve(spec, pipe, Path(folder)))


async def _serve(spec: str, pipe: Pipe, folder: Path) -> None:
    supervisor = HandOver(folder / "runs", pipe)
    store = Store(folder / "rheostat.db")
    service = RunService(store, supervisor, max_concurrent_runs=1, clock=time.time)
    api = ApiServer(service, address="127.0.0.1:0")
    telemetry = TelemetryServer(
        service, address="127.0.0.1:0", is_ready=lambda: True, version="benchmark"
    )
    await service.start()
    metrics, address = await telemetry.start(), await api.start()
    pipe.send((address, metrics))
    await service.create_run(spec, principal="benchmark")
    await asyncio.to_thread(pipe.recv)
    supervisor.end()
    await service.drain(1.0)
    await api.stop(0.1)
    await telemetry.stop()


def _clients(run: str, address: str, metrics: str, watchers: int, requests: int) -> None:
    asyncio.run(_busy_day(run, address, metrics, watchers, requests))


async def _busy_day(run: str, address: str, metrics: str, watchers: int, requests: int) -> None:
    """Watch, scrape and ask until the process is ended."""

    async def watch(client: AsyncClient) -> None:
        async for _ in client.watch_run(run):
            pass

    async def scrape(session: aiohttp.ClientSession) -> None:
        while True:
            async with session.get(f"http://{metrics}/metrics") as response:
                await response.read()
            await asyncio.sleep(1.0)

    async def ask(client: AsyncClient) -> None:
        """Half reads, half changes that leave the LR where it is."""
        began, asked = time.perf_counter(), 0
        while True:
            if asked % 2:
                await client.get_run(run)
            else:
                await client.change_learning_rate(run, Change(verb=Verb.SCALE, value=1.0))
            asked += 1
            await asyncio.sleep(max(0.0, began + asked / requests - time.perf_counter()))

    async with aiohttp.ClientSession() as session, AsyncClient(address) as client:
        tasks = [asyncio.create_task(scrape(session))]
        tasks += [asyncio.create_task(watch(client)) for _ in range(watchers)]
        if requests:
            tasks.append(asyncio.create_task(ask(client)))
        await asyncio.gather(*tasks)


def show(result: dict[str, Any], as_json: bool, sentence: str) -> None:
    """Print a result for a script or for a person."""
    print(json.dumps(result) if as_json else sentence)
