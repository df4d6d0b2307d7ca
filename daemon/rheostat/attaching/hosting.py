"""A daemon of the script's own, where none lives: in a process beside it, for its life."""

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from rheostat.errors import FailedPrecondition, Unreachable
from rheostat.runs.supervisor import Supervisor

_END_SECONDS = 15.0


class Host:
    """A daemon that ends when this process does, or says so.

    Its standard input is a pipe that nobody writes to: the kernel closes it with this process,
    however that ends. It is a process and not a thread, because a control plane that shares an
    interpreter with a training loop slows it.

    Args:
        state_dir: its memory.

    Raises:
        FailedPrecondition: if another daemon has just begun to live there.
        Unreachable: if it cannot start; says why.
    """

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rheostat.embedding", str(state_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a Ctrl-C at the terminal is for the script
        )
        assert self._process.stdout is not None
        said = json.loads(self._process.stdout.readline() or '{"problem": "it said nothing"}')
        self._process.stdout.close()
        if "problem" in said:
            self.end()
            kind = FailedPrecondition if said.get("is_taken") else Unreachable
            raise kind(f"no daemon could be started on {state_dir}: {said['problem']}")
        self.address: str = said["address"]
        self.metrics_address: str | None = said["metrics_address"]

    def end(self) -> None:
        """Let the daemon go; one that another script needs ends with that script's run."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        if not Supervisor(self._state_dir).any_living():
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_SECONDS)
