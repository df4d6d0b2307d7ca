"""How a script finds its daemon, and becomes one of its runs."""

import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from rheostat.attaching.hosting import Host
from rheostat.client import Client, Credentials
from rheostat.errors import FailedPrecondition
from rheostat.locating import daemon_address
from rheostat.runs.records import Attachment, RunView
from rheostat.runs.starting import LOCK_FILE
from rheostat.spec.attached import AttachedSpec
from rheostat.trainer.link import Link

_LOCK_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """A script's place with a daemon."""

    view: RunView
    """The run as the daemon knew it when it was attached."""
    folder: Path
    """Keeps the run's files."""
    link: Link
    address: str
    """Of the daemon."""
    host: Host | None
    """That daemon, where it is the script's own."""
    lock: int
    """File descriptor of the lock by which the daemon knows that the script lives."""

    def leave(self) -> None:
        """Let the daemon know that the script is done, and end it if it is the script's own."""
        # Explicitly: data loaders that were forked meanwhile hold the same lock.
        fcntl.flock(self.lock, fcntl.LOCK_UN)
        os.close(self.lock)
        if self.host is not None:
            self.host.end()


def enroll(
    spec: AttachedSpec,
    *,
    address: str | None = None,
    state_dir: str | Path | None = None,
    resume: bool = False,
    restores: bool = False,
) -> Enrolment:
    """Make this process the one that trains a run.

    Args:
        spec: what the script says of itself.
        address: of the daemon; None is `RHEOSTAT_ADDRESS`, else the one that lives on `state_dir`,
            else one that is started there.
        state_dir: None is `RHEOSTAT_STATE_DIR`, else the user's own.
        resume: whether to go on with the run of that name, if there is one.
        restores: whether the script can be brought to a checkpoint.

    Raises:
        Unreachable: if there is no daemon, and none can be started.
        FailedPrecondition: if it lives on another machine, or has such a run in hand.
        RheostatError: what else the daemon refuses.
    """
    host, found = _find(address, state_dir)
    try:
        # A daemon of our own knows no strangers, and asks nobody who they are.
        credentials = None if host is not None else Credentials.from_environment()
        with Client(found, credentials=credentials) as client:
            made = client.attach_run(spec.model_dump_json(), resume=resume, restores=restores)
            if not Path(made.folder).is_dir():
                client.stop_run(made.run.name)
                raise FailedPrecondition(
                    f"the daemon at {found} is on another machine, or in another container: script "
                    f"and daemon speak over a UNIX socket beside {made.link}, which is not here. "
                    "Start a daemon beside the script (rheostat serve), or give no address"
                )
        lock = _sign(made)
        link = Link(Path(made.link), made.run.name, made.token)
        return Enrolment(
            view=made.run,
            folder=Path(made.folder),
            link=link,
            address=found,
            host=host,
            lock=lock,
        )
    except BaseException:
        if host is not None:
            host.end()
        raise


def _find(address: str | None, state_dir: str | Path | None) -> tuple[Host | None, str]:
    asked = address or os.environ.get("RHEOSTAT_ADDRESS")
    if asked:
        return None, asked
    named = state_dir or os.environ.get("RHEOSTAT_STATE_DIR")
    folder = Path(named or platformdirs.user_state_dir("rheostat"))
    living = daemon_address(folder)
    if living is not None:
        return None, living
    try:
        host = Host(folder)
    except FailedPrecondition:
        # Another script was quicker.
        living = daemon_address(folder)
        if living is None:
            raise
        return None, living
    return host, host.address


def _sign(made: Attachment) -> int:
    """Take the lock of the run's folder, and write down who has it."""
    lock = os.open(Path(made.folder) / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            # The daemon looks at it now and then, or another process of the script has it.
            if time.monotonic() > deadline:
                os.close(lock)
                raise FailedPrecondition(
                    f"run {made.run.name} has a script that lives: end that one first"
                ) from None
            time.sleep(0.01)
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock
