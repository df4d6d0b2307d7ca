"""A real `rheostat serve` in a process of its own."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rheostat.locating import daemon_address

_POLL_SECONDS = 0.002


@dataclass(frozen=True, slots=True)
class Served:
    """A daemon that is ready."""

    pid: int
    state_dir: str
    address: str
    metrics: str
    """Where its metrics are."""
    page: str | None
    """Where its page is, if it has one."""
    ready_seconds: float
    """From its start until it said that it is ready."""


@contextmanager
def serving(*, with_page: bool = False) -> Iterator[Served]:
    """Start a daemon on free ports and a state directory of its own; end it with the block.

    Raises:
        SystemExit: with what it said, if it does not start.
    """
    with TemporaryDirectory() as folder:
        doors = ("", "metrics-", "page-") if with_page else ("", "metrics-")
        ports = [f"--{door}address=127.0.0.1:0" for door in doors]
        command = [sys.executable, "-m", "rheostat", "serve", "--state-dir", folder, *ports]
        log = Path(folder) / "log"
        began = time.perf_counter()
        with log.open("w") as output:
            process = subprocess.Popen([*command, "--log-level", "error"], stderr=output)
        try:
            while (address := daemon_address(Path(folder))) is None:
                if process.poll() is not None:
                    raise SystemExit(log.read_text())
                time.sleep(_POLL_SECONDS)
            ready = time.perf_counter() - began
            endpoints = json.loads((Path(folder) / "daemon.json").read_text())
            yield Served(
                process.pid,
                folder,
                address,
                endpoints["metrics_address"],
                endpoints.get("page_address"),
                ready,
            )
        finally:
            process.terminate()
            process.wait()
