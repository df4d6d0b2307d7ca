"""A whole daemon in a process of its own, for a trainer that a benchmark runs itself.

Everything is the product's: store, service, API, telemetry, the link. Only the supervisor is not,
because the benchmark is the trainer: instead of starting one it tells what one would begin with.

`python -m benchmarks.daemon` reads a spec as a line of JSON, writes one with where it answers and
one with what the trainer begins with, and ends with its input.
"""

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from rheostat.api.server import ApiServer
from rheostat.door.limits import Limits
from rheostat.logs import configure_logs
from rheostat.runs.service import RunService
from rheostat.runs.starting import SPEC_FILE, StartOrder
from rheostat.runs.store import Store
from rheostat.runs.supervisor import Supervisor
from rheostat.telemetry.server import TelemetryServer


class HandOver(Supervisor):
    """Tells what a trainer begins with instead of starting one."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._is_over = asyncio.Event()

    async def start(self, run: str, spec: str, order: StartOrder, token: str) -> int:
        folder = self.folder_of(run)
        folder.mkdir(parents=True)
        (folder / SPEC_FILE).write_text(spec)
        begins = {"run": run, "folder": str(folder), "link": str(self.link_file), "token": token}
        _say({**begins, "order": msgspec.to_builtins(order)})
        return 0

    async def wait(self, run: str) -> int:
        await self._is_over.wait()
        return 0

    def end(self) -> None:
        self._is_over.set()


async def _serve(spec: str, folder: Path) -> None:
    supervisor = HandOver(folder)
    service = RunService(
        Store(folder / "rheostat.db"), supervisor, max_concurrent_runs=1, clock=time.time
    )
    # A crowd of one principal, whom nobody holds to a person's pace.
    limits = Limits(streams=10_000, requests_per_minute=10**9)
    api = ApiServer(service, address="127.0.0.1:0", limits=limits)
    telemetry = TelemetryServer(
        service, address="127.0.0.1:0", is_ready=lambda: True, version="benchmark"
    )
    await service.start()
    metrics, address = await telemetry.start(), await api.start()
    _say({"address": address, "metrics": metrics})
    await service.create_run(spec, principal="benchmark")
    await asyncio.to_thread(sys.stdin.read)
    supervisor.end()
    await service.drain(1.0)
    await api.stop(0.1)
    await telemetry.stop()


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def show(result: dict[str, Any], as_json: bool, sentence: str) -> None:
    """Print a result for a script or for a person."""
    print(json.dumps(result) if as_json else sentence)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, open("/dev/null", "w") as nowhere:
        configure_logs("human", "error", nowhere)
        asyncio.run(_serve(sys.stdin.readline(), Path(folder)))


if __name__ == "__main__":
    main()
