"""Trainer processes: started, found again, watched, and asked or made to end."""

import asyncio
import fcntl
import os
import shutil
import signal
import sys
from asyncio.subprocess import Process
from pathlib import Path

import msgspec

from rheostat.runs.durably import replace_durably
from rheostat.runs.records import Failure
from rheostat.runs.starting import (
    CHECKPOINTS_FOLDER,
    LINK_FILE,
    LINK_VARIABLE,
    LOCK_FILE,
    LOCK_VARIABLE,
    LOG_FILE,
    RENDEZVOUS_VARIABLE,
    SPEC_FILE,
    START_FILE,
    TOKEN_VARIABLE,
    StartOrder,
)

_TAIL_LINES = 40
_LOOK_SECONDS = 0.25


class Supervisor:
    """Owns one trainer process per running run, whoever has started it.

    A trainer holds a lock on a file of its run's folder. It inherits it at its birth, so that there
    is no moment at which it lives without, and the kernel takes it back with the process. So two
    trainers never work in one folder, and the next daemon knows who lives.
    """

    def __init__(self, state_dir: Path, rendezvous: str | None = None) -> None:
        """Look after the trainers of a state directory.

        Args:
            state_dir: of the daemon.
            rendezvous: host:port where other machines join its runs; None where none do.
        """
        self.link_file = state_dir / LINK_FILE
        """Where trainers look for the present daemon's socket."""
        self._folder = state_dir / "runs"
        self._rendezvous = {} if rendezvous is None else {RENDEZVOUS_VARIABLE: rendezvous}
        self._processes: dict[str, Process] = {}

    def folder_of(self, run: str) -> Path:
        """Return the folder that keeps a run's files."""
        return self._folder / run

    def make_folder(self, run: str) -> Path:
        """Return the folder that keeps a run's files; it is there then."""
        folder = self.folder_of(run)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def checkpoints_of(self, run: str) -> Path:
        """Return the folder that keeps a run's checkpoints."""
        return self.folder_of(run) / CHECKPOINTS_FOLDER

    async def start(self, run: str, spec: str, order: StartOrder, token: str) -> int:
        """Start a run's trainer and return its process id.

        The trainer gets a session of its own: a Ctrl-C at the terminal is for the daemon, which
        then ends its trainers in order.

        Raises:
            BlockingIOError: if the run has a living trainer.
        """
        folder = self.folder_of(run)
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(lock, 0)  # until the new one signs, nobody is to take the old one for it
            replace_durably(folder / SPEC_FILE, spec.encode())
            replace_durably(folder / START_FILE, msgspec.json.encode(order))
            environment = {
                **os.environ,
                LINK_VARIABLE: str(self.link_file),
                LOCK_VARIABLE: str(lock),
                TOKEN_VARIABLE: token,
                **self._rendezvous,
            }
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
                    pass_fds=(lock,),
                    start_new_session=True,
                )
        finally:
            os.close(lock)
        self._processes[run] = process
        return process.pid

    def is_living(self, run: str) -> bool:
        """Whether a run has a trainer, of this daemon or of one before."""
        try:
            lock = os.open(self.folder_of(run) / LOCK_FILE, os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def any_living(self) -> bool:
        """Whether some run has a trainer, or a script of its own."""
        folder = self._folder
        return folder.is_dir() and any(self.is_living(run.name) for run in folder.iterdir())

    def pid_of(self, run: str) -> int | None:
        """Return the process id of a run's living trainer; None where it has not told it yet."""
        if run in self._processes:
            return self._processes[run].pid
        try:
            return int((self.folder_of(run) / LOCK_FILE).read_text())
        except (OSError, ValueError):
            return None

    async def wait(self, run: str) -> int | None:
        """Wait for a run's trainer to end.

        Returns:
            Its exit code, -N for signal N; None where another daemon has started it, since only
            that one would have been told.
        """
        process = self._processes.get(run)
        if process is None:
            while self.is_living(run):
                await asyncio.sleep(_LOOK_SECONDS)
            return None
        code = await process.wait()
        del self._processes[run]
        return code

    def kill(self, run: str) -> None:
        """End a run's trainer and whatever it started, without asking."""
        pid = self.pid_of(run)
        if pid is not None and self.is_living(run):
            os.killpg(pid, signal.SIGKILL)

    def is_halted(self, run: str) -> bool:
        """Whether a run's trainer was made to stand still by a signal, as far as can be known."""
        try:
            status = Path(f"/proc/{self.pid_of(run)}/stat").read_text()
        except OSError:
            return False
        return status.rpartition(")")[2].split()[0] in {"T", "t"}

    def delete_files(self, run: str) -> None:
        """Delete a run's folder, and nothing that is not in it."""
        folder = self.folder_of(run)
        if run in {"", ".", ".."} or folder.parent != self._folder or folder.is_symlink():
            raise ValueError(f"{folder} is not the folder of a run")
        shutil.rmtree(folder, ignore_errors=True)

    def post_mortem(self, run: str, code: int | None) -> Failure:
        """Describe the death of a trainer that could not say why itself."""
        log = self.folder_of(run) / LOG_FILE
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return Failure(
            message=f"the trainer {_how(code)} without a word; the end of its output is attached",
            traceback="\n".join(lines[-_TAIL_LINES:]),
        )


def _how(code: int | None) -> str:
    if code is None:
        return "that another daemon had started ended"
    if code >= 0:
        return f"exited with {code}"
    hint = " (out of memory?)" if code == -signal.SIGKILL else ""
    return f"was killed by {signal.Signals(-code).name}{hint}"
