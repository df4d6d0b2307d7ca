"""Which daemon a verb talks to: the one named, the one that lives here, or one of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

if TYPE_CHECKING:
    from rheostat.client import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """A daemon that can be asked."""

    address: str
    metrics_address: str | None = None
    """host:port of its metrics, where it is this command's own; else None."""
    is_embedded: bool = False
    """Whether it lives in this command and dies with it."""


@contextmanager
def find_daemon(address: str | None, state_dir: str | None) -> Iterator[Daemon]:
    """Find the daemon at an address, else that of the state directory, else start one there."""
    from rheostat import app

    folder = state_folder(state_dir)
    living = address or app.daemon_address(folder)
    if living is not None:
        yield Daemon(address=living)
        return
    with app.embedded(folder) as endpoints:
        yield Daemon(
            address=endpoints.address,
            metrics_address=endpoints.metrics_address,
            is_embedded=True,
        )


@contextmanager
def dial(daemon: Daemon) -> Iterator["Client"]:
    """Open a client to a daemon."""
    from rheostat.client import Client

    with Client(daemon.address) as client:
        yield client


@contextmanager
def connect(address: str | None, state_dir: str | None) -> Iterator["Client"]:
    """Find the daemon and open a client to it.

    Raises:
        Unreachable: if nothing answers at the address.
    """
    with find_daemon(address, state_dir) as daemon, dial(daemon) as client:
        yield client


def state_folder(state_dir: str | None) -> Path:
    """Return the folder of the runs, by default the user's own."""
    return Path(state_dir or platformdirs.user_state_dir("rheostat"))
