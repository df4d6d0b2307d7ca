"""A live `rheostat serve` to be ill-treated, who calls it, and the runs that it trains."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from rheostat.client import AsyncClient, Credentials
from rheostat.door.roles import Role
from rheostat.door.tokens import NewToken, new_token
from rheostat.errors import RheostatError
from rheostat.locating import daemon_address
from rheostat.runs.records import Phase, RunView

TARGET: dict[str, Any] = {
    "name": "target",
    "model": {"name": "fuzzing.resting:net"},
    "data": {"name": "digits"},
    "train": {"steps": 10**8, "device": "cpu"},
    "evaluate": {"every": 10**8},
}
_ROOT = Path(__file__).parents[1]


class Daemon:
    """A `rheostat serve` of its own process, and who calls it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.tokens: dict[str, NewToken] = {
            "steadier": new_token("steadier", Role.ADMIN),
            "fuzzer": new_token("fuzzer"),
            "second": new_token("second"),
            "viewer": new_token("viewer", Role.VIEWER),
            "stranger": new_token("stranger"),
        }
        known = [one.line for name, one in self.tokens.items() if name != "stranger"]
        (folder / "tokens").write_text("".join(f"{line}\n" for line in known))
        # Whatever a run is called, but for `steady`.
        runs = [f"[{letter}]*" for letter in "abcdefghijklmnopqrtuvwxyz0123456789*"]
        bindings = [
            {"role": "admin", "principals": ["fuzzer"], "runs": [*runs, "Target"]},
            {"role": "operator", "principals": ["second"], "runs": ["target"]},
        ]
        approvals = [{"runs": ["target"], "ratio": 4.0, "expires_seconds": 5.0}]
        document = {"bindings": bindings, "approvals": approvals}
        (folder / "roles").write_text(json.dumps(document))
        self.address = ""

    def start(self) -> None:
        options = (
            *("--state-dir", self.folder / "state"),
            *("--address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0"),
            *("--tokens", self.folder / "tokens", "--roles", self.folder / "roles"),
            *("--max-requests-per-minute", "100000000", "--reflection"),
            *("--max-concurrent-runs", "2", "--log-level", "error", "--drain-seconds", "0"),
            *("--allow-import", "fuzzing.resting:net"),
        )
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "rheostat", "serve", *options],
                stderr=log,
                cwd=self.folder,
                # There trainers find the model that rests.
                env=os.environ | {"PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1"},
            )
        while (address := daemon_address(self.folder / "state")) is None:
            if self.process.poll() is not None:
                raise SystemExit(self.log.read_text())
            time.sleep(0.05)
        self.address = address

    def client(self, name: str) -> AsyncClient:
        return AsyncClient(self.address, credentials=Credentials(token=self.tokens[name].token))

    def metadata(self, name: str) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.tokens[name].token}"),)

    @property
    def resident_bytes(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024

    def said_wrong(self) -> list[str]:
        """Return what stands in the log that no caller should be able to bring about."""
        lines = self.log.read_text().splitlines()
        return [
            "\n".join(lines[max(0, number - 1) : number + 40])
            for number, line in enumerate(lines)
            if "Traceback" in line
        ]


@asynccontextmanager
async def serving() -> AsyncIterator[Daemon]:
    with tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(Path(folder))
        daemon.start()
        try:
            yield daemon
        finally:
            daemon.process.terminate()
            daemon.process.wait()


async def have_target(client: AsyncClient) -> None:
    """See to it that the run that is ill-treated trains."""
    with suppress(RheostatError):
        view = await client.get_run("target")
        if view.phase is Phase.PAUSED:
            await client.resume_run("target")
        if not view.phase.is_final:
            return
    await forget(client)
    with suppress(RheostatError):
        await client.create_run(json.dumps(TARGET))
        for _ in range(300):
            if (await client.get_run("target")).snapshot is not None:
                return
            await asyncio.sleep(0.1)


async def forget(client: AsyncClient, *, but: Collection[str] = ("steady",)) -> None:
    """Delete every run that was made by the way."""
    for _ in range(100):
        others = [view for view in await client.list_runs() if view.name not in but]
        if not others:
            return
        await asyncio.gather(*(_end(client, view) for view in others))
        await asyncio.sleep(0.1)


async def _end(client: AsyncClient, view: RunView) -> None:
    with suppress(RheostatError):
        if view.phase.is_final:
            await client.delete_run(view.name)
        elif view.phase is not Phase.STOPPING:
            await client.stop_run(view.name)
