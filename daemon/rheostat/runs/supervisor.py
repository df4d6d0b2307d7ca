"""Trainer processes: started, watched, and asked or made to end."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import Process
from pathlib import Path

from rheostat.runs.records import Failure
from rheostat.runs.starting import LINK_VARIABLE, LOG_FILE, SPEC_FILE, TOKEN_VARIABLE

_TAIL_LINES = 40


class Supervisor:
    """Owns one trainer process per running run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: dict[str, Process] = {}

    def folder_of(self, run: str) -> Path:
        """Return the folder that keeps a run's files."""
        return self._folder / run

    async def start(self, run: str, spec: str, link: str, token: str) -> int:
        """Start a run's trainer and return its process id.

        The trainer gets a session of its own: a Ctrl-C at the terminal is for the daemon, which
        then ends its trainers in order.
        """
        folder = self.folder_of(run)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SPEC_FILE).write_text(spec)
        environment = {**os.environ, LINK_VARIABLE: link, TOKEN_VARIABLE: token}
        with (folder / LOG_FILE).open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "rheostat.trainer",
                run,
                str(folder),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=True,
            )
        self._processes[run] = process
        return process.pid

    async def wait(self, run: str) -> int:
        """Wait for a run's trainer to end and return its exit code, -N for signal N."""
        code = await self._processes[run].wait()
        del self._processes[run]
        return code

    def kill(self, run: str) -> None:
        """End a run's trainer and whatever it started, without asking."""
        process = self._processes.get(run)
        if process is not None and process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)

    def post_mortem(self, run: str, code: int) -> Failure:
        """Describe the death of a trainer that could not say why itself."""
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
        log = self.folder_of(run) / LOG_FILE
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        hint = " (out of memory?)" if code == -signal.SIGKILL else ""
        return Failure(
            message=f"the trainer {how}{hint} without a word; the end of its output is attached",
            traceback="\n".join(lines[-_TAIL_LINES:]),
        )
