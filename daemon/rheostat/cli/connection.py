"""Which daemon a verb talks to: the one named, the one that lives here, or one of its own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import platformdirs

if TYPE_CHECKING:
    from rheostat.client import Client, Credentials

CREDENTIALS = ("ca", "cert", "key", "server_name", "token_file", "insecure")
"""The options of the root command that say what is presented to a daemon, and whom it must be."""


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
    from rheostat.locating import daemon_address

    folder = state_folder(state_dir)
    living = address or daemon_address(folder)
    if living is not None:
        yield Daemon(address=living)
        return
    from rheostat.embedding import embedded

    with embedded(folder) as endpoints:
        yield Daemon(
            address=endpoints.address,
            metrics_address=endpoints.metrics_address,
            is_embedded=True,
        )


@contextmanager
def dial(daemon: Daemon) -> Iterator["Client"]:
    """Open a client to a daemon."""
    from rheostat.client import Client

    # A daemon of our own knows no strangers: it speaks no TLS and asks nobody who they are.
    credentials = None if daemon.is_embedded else _credentials()
    with Client(daemon.address, credentials=credentials) as client:
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


def _credentials() -> "Credentials":
    """Return what the options before the verb say, else the environment."""
    from rheostat.client import Credentials

    options = click.get_current_context().find_root().params
    given = {name: str(options[name]) for name in CREDENTIALS if options[name]}
    return Credentials.from_environment(
        {
            **os.environ,
            **{f"RHEOSTAT_{name.upper()}": value for name, value in given.items()},
        }
    )
