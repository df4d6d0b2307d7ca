"""Where the launchers of several machines meet for one run after the other."""

import socket
import time
from datetime import timedelta

import msgspec
from torch._C._distributed_c10d import TCPStore
from torch.distributed import DistError
from torch.distributed.elastic.rendezvous import (
    RendezvousHandler,
    RendezvousParameters,
    rendezvous_handler_registry,
)
from torch.distributed.elastic.rendezvous.c10d_rendezvous_backend import create_backend
from torch.distributed.elastic.rendezvous.dynamic_rendezvous import create_handler

BACKEND = "rheostat"
"""torch's c10d rendezvous, for launchers that restart nobody."""
LAST_CALL_SECONDS = 15
"""How long enough machines wait for more."""
JOIN_SECONDS = 30 * 24 * 3600
_OFFER = "rheostat.offer"
_LOOK_SECONDS = 1.0
_ANSWER = timedelta(seconds=5)


class Offer(msgspec.Struct):
    """A run that wants machines."""

    run: str
    key: str
    """Of the rendezvous; every start of the run has another."""
    processes: int
    """Of each machine."""
    nodes: int
    """Machines, at most."""
    min_nodes: int


def host_of(address: str) -> tuple[str, int]:
    """Return host and port of `host:port`."""
    host, _, port = address.rpartition(":")
    return host, int(port)


def offer(made: Offer, port: int) -> TCPStore:
    """Open the place where other machines find an offer; it is there as long as what is returned.

    torch's rendezvous takes place at the same port.
    """
    store = TCPStore("localhost", port, is_master=True, wait_for_workers=False, multi_tenant=True)
    store.set(_OFFER, msgspec.json.encode(made).decode())
    return store


def find_offer(host: str, port: int, not_key: str = "") -> Offer:
    """Wait for an offer, and for another than the one of a key."""
    while True:
        try:
            # torch's own attempts would fill the log with warnings.
            socket.create_connection((host, port), _LOOK_SECONDS).close()
            store = TCPStore(host, port, wait_for_workers=False, timeout=_ANSWER)
            found = msgspec.json.decode(store.get(_OFFER), type=Offer)
        except (OSError, DistError, RuntimeError):
            found = None
        if found is not None and found.key != not_key:
            return found
        time.sleep(_LOOK_SECONDS)


def _make_handler(params: RendezvousParameters) -> RendezvousHandler:
    params.config |= {"join_timeout": JOIN_SECONDS, "last_call_timeout": LAST_CALL_SECONDS}
    backend, store = create_backend(params)
    handler = create_handler(store, backend, params)
    # A launcher that knew of a machine that came late would start its ranks anew, where they were:
    # only the daemon can say where the run goes on. The machine waits for the next start.
    handler.num_nodes_waiting = lambda: 0  # type: ignore[method-assign]
    handler.get_backend = lambda: BACKEND  # type: ignore[method-assign]
    return handler


rendezvous_handler_registry.register(BACKEND, _make_handler)
