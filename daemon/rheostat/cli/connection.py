"""Which daemon a verb talks to: the one named, the one that lives here, or one of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from rheostat.cli.clusters import Cluster, asked_cluster, daemons_of, tunnel_to
from rheostat.cli.credentials import presented
from rheostat.cli.listing import Place
from rheostat.cli.terminal import complain
from rheostat.errors import RheostatError

if TYPE_CHECKING:
    from rheostat.client import Client
    from rheostat.runs.records import RunView

START_SECONDS = 10.0
"""How long a daemon that is just being started is waited for."""


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
    """Find the daemon of a cluster, else that at an address, else that of the state directory.

    Where there is none, one is started on the state directory.
    """
    cluster = asked_cluster()
    if cluster is not None:
        with tunnel_to(cluster) as tunnelled:
            yield Daemon(address=tunnelled)
        return
    from rheostat.locating import daemon_address

    folder = state_folder(state_dir)
    living = address or daemon_address(folder, patience=START_SECONDS)
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
def dial(daemon: Daemon, *, principal: str = "") -> Iterator["Client"]:
    """Open a client to a daemon.

    Args:
        daemon: to ask.
        principal: who asks, where the daemon takes callers at their word; by default user@machine.
    """
    from rheostat.client import Client

    # A daemon of our own knows no strangers: it speaks no TLS and asks nobody who they are.
    credentials = None if daemon.is_embedded else presented()
    with Client(daemon.address, credentials=credentials, principal=principal) as client:
        yield client


@contextmanager
def connect(address: str | None, state_dir: str | None) -> Iterator["Client"]:
    """Find the daemon and open a client to it.

    Raises:
        Unreachable: if nothing answers at the address.
    """
    with find_daemon(address, state_dir) as daemon, dial(daemon) as client:
        yield client


def runs_of(cluster: Cluster) -> Iterator[tuple[Place, "RunView"]]:
    """Yield the runs of every daemon of a cluster, with the daemon's place.

    Raises:
        NotFound, Unreachable: if there is no daemon, or the cluster does not answer.
    """
    for pod, open_tunnel in daemons_of(cluster):
        try:
            with open_tunnel() as address, dial(Daemon(address=address)) as client:
                views = client.list_runs()
        except RheostatError as error:
            complain(f"{pod}: {error}")  # one that does not answer must not hide the others
            continue
        for view in views:
            yield Place(pod.namespace, pod.name), view


def state_folder(state_dir: str | None) -> Path:
    """Return the folder of the runs, by default the user's own."""
    return Path(state_dir or platformdirs.user_state_dir("rheostat"))
