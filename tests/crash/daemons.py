"""Real processes: a daemon that is killed and started again, and the trainers beside it."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from rheostat.client import Client
from rheostat.runs.records import Phase
from rheostat.runs.supervisor import Supervisor

PLUGINS = Path(__file__).parent / "plugins"
PACE_VARIABLE = "CRASH_PACE"
"""As the plug-in `paced` calls it; importing that one imports torch."""
PATIENCE_SECONDS = 300.0
"""On a machine that is far too busy, a trainer takes a minute to import torch."""

T = TypeVar("T")


class Daemon:
    """The daemon of a state directory: one after the other, on whatever port is free."""

    def __init__(self, state_dir: Path, pace: float) -> None:
        self.state_dir = state_dir
        self.trainers = Supervisor(state_dir)
        self._process: subprocess.Popen[bytes] | None = None
        state_dir.mkdir(parents=True)
        self._pace = state_dir / str(pace)
        self._pace.touch()

    @property
    def log(self) -> Path:
        return self.state_dir / "serve.log"

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "rheostat", "serve", "--state-dir", self.state_dir),
                    *("--address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0"),
                    *("--max-concurrent-runs", "2", "--log-format", "json"),
                    *("--allow-import", "paced:network"),
                ],
                env=environment() | {PACE_VARIABLE: str(self._pace)},
                stdin=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> bool:
        """Kill the daemon; return whether there was one to kill."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return False
        process.kill()
        process.wait()
        return True

    def stop(self) -> bool:
        """End the daemon in order; return whether there was one to end."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return False
        process.terminate()
        process.wait(PATIENCE_SECONDS)
        return True

    def kill_trainer(self, run: str) -> bool:
        """Kill a run's trainer; return whether there was one to kill."""
        pid = self.trainers.pid_of(run)
        if pid is None or not self.trainers.is_living(run):
            return False
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def has_advanced(self, run: str) -> bool:
        """Whether it is written down that a run is farther than its dead trainers came, or over."""
        question = (
            "SELECT phase, COALESCE(json_extract(snapshot, '$.step'), 0) > reached "
            "FROM runs LEFT JOIN trainers ON run = name WHERE name = ?"
        )
        file = f"file:{self.state_dir / 'rheostat.db'}?mode=ro"
        with closing(sqlite3.connect(file, uri=True)) as database:
            phase, is_farther = database.execute(question, (run,)).fetchone()
        return Phase(phase).is_final or bool(is_farther)

    def hurry(self) -> None:
        """Let the runs train as fast as they can from here on."""
        self._pace.unlink(missing_ok=True)

    @property
    def address(self) -> str | None:
        """Where the present daemon answers; None while none does."""
        process = self._process
        try:
            found = json.loads((self.state_dir / "daemon.json").read_text())
        except (OSError, ValueError):
            return None
        return found["address"] if process and found["pid"] == process.pid else None

    def client(self) -> Client:
        """Connect to the present daemon, as soon as it answers."""
        return Client(self._await_address(), principal="crash@here")

    def _await_address(self) -> str:
        return wait_until(lambda: self.address, f"a daemon answers: {self.log}")


def environment() -> dict[str, str]:
    """Return the environment of every process here: our plug-in is found, and sums add up alike."""
    paths = [str(PLUGINS), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}


def wait_until(question: Callable[[], T], what: str, seconds: float = 0.0) -> T:
    """Ask again and again, and return the first answer that is true."""
    deadline = time.monotonic() + (seconds or PATIENCE_SECONDS)
    while not (answer := question()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"still waiting until {what}")
        time.sleep(0.002)
    return answer
