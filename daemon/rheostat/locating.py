"""Where the daemon of a state directory is found, and that there is only one."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rheostat.errors import FailedPrecondition, StorageFailed

_LOCK_FILE = "daemon.lock"
_ENDPOINTS_FILE = "daemon.json"
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where a living daemon answers."""

    address: str
    metrics_address: str | None
    page_address: str | None = None


def daemon_address(state_dir: Path, *, patience: float = 0.0) -> str | None:
    """Return the address of the daemon that lives on a state directory, None when none does.

    Args:
        state_dir: the directory.
        patience: seconds to wait for one that lives and has not said yet where it answers.
    """
    deadline = time.monotonic() + patience
    while _is_lived_on(state_dir):
        try:
            return str(json.loads((state_dir / _ENDPOINTS_FILE).read_text())["address"])
        except (OSError, ValueError, KeyError):
            if time.monotonic() >= deadline:
                return None
        time.sleep(_POLL_SECONDS)
    return None


def _is_lived_on(state_dir: Path) -> bool:
    """Whether a daemon holds the directory's lock."""
    try:
        with (state_dir / _LOCK_FILE).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


@contextmanager
def exclusive(state_dir: Path) -> Iterator[None]:
    """Keep other daemons off a state directory; the kernel forgets the lock with the process.

    Raises:
        FailedPrecondition: if another daemon lives there.
        StorageFailed: if nothing can be written there.
    """
    try:
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (state_dir / _LOCK_FILE).open("a+")
    except OSError as error:
        raise StorageFailed(
            f"cannot write to the state directory {state_dir}: {error.strerror}; make it writable, "
            "or name another with --state-dir"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FailedPrecondition(
                f"another daemon lives on {state_dir} (at {daemon_address(state_dir)}); "
                "talk to that one, or give this one a --state-dir of its own"
            ) from None
        # One that was killed has left where it answered.
        (state_dir / _ENDPOINTS_FILE).unlink(missing_ok=True)
        try:
            yield
        finally:
            (state_dir / _ENDPOINTS_FILE).unlink(missing_ok=True)


def publish(state_dir: Path, endpoints: Endpoints) -> None:
    """Let commands on this machine find the daemon of a state directory."""
    text = json.dumps(
        {
            "address": endpoints.address,
            "metrics_address": endpoints.metrics_address,
            "page_address": endpoints.page_address,
            "pid": os.getpid(),
        }
    )
    beside = state_dir / f"{_ENDPOINTS_FILE}.partial"
    beside.write_text(text)
    beside.replace(state_dir / _ENDPOINTS_FILE)
