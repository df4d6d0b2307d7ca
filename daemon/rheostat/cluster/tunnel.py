"""A way to a daemon in a pod: the API server forwards a port of it to a socket of ours."""

import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from rheostat.cluster.finding import DaemonPod
from rheostat.errors import Unreachable

_CHUNK_BYTES = 64 * 2**10
_END_SECONDS = 5.0
"""Time for connections to end when the tunnel does; one to a dead network is left behind."""


@contextmanager
def tunnel(api: Any, pod: DaemonPod) -> Iterator[str]:
    """Open a tunnel for the life of the block, and return the address that leads through it.

    It is a socket in a folder of this user's own: nobody else on the machine gets to the daemon
    with this user's right to forward ports.

    Args:
        api: a `kubernetes.client.CoreV1Api`.
        pod: where to.

    Raises:
        Unreachable: if the API server refuses or cannot be reached.
    """
    from rheostat.cluster.forwarding import forward

    # The first way through is opened at once, so that it is told why there is none.
    first = forward(api, pod)
    with tempfile.TemporaryDirectory(prefix="rheostat-") as folder:
        path = Path(folder, "daemon")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            accept = threading.Thread(
                target=_accept, args=(listener, first, api, pod), name=f"tunnel to {pod}"
            )
            accept.daemon = True
            accept.start()
            try:
                yield f"unix:{path}"
            finally:
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread, which close() would not
                accept.join()


def _accept(listener: socket.socket, first: Any, api: Any, pod: DaemonPod) -> None:
    """Give every caller a way through of its own, until the listener is shut."""
    from rheostat.cluster.forwarding import forward

    waiting = [first]
    connections: list[tuple[socket.socket, threading.Thread]] = []
    while True:
        try:
            caller, _ = listener.accept()
        except OSError:
            break
        try:
            remote = waiting.pop() if waiting else forward(api, pod)
        except Unreachable:
            caller.close()  # who called sees a broken connection, and may try again
            continue
        connect = threading.Thread(target=_connect, args=(caller, remote), name=f"bytes of {pod}")
        connect.daemon = True
        connect.start()
        connections.append((caller, connect))
    for unused in waiting:
        unused.close()
    for caller, _ in connections:
        _hang_up(caller, socket.SHUT_RDWR)
    deadline = time.monotonic() + _END_SECONDS
    for _, connect in connections:
        connect.join(max(0.0, deadline - time.monotonic()))


def _connect(caller: socket.socket, remote: Any) -> None:
    """Carry bytes both ways until either end hangs up; then both do."""
    with caller, closing(remote):
        there = threading.Thread(target=_copy, args=(caller, remote), daemon=True)
        there.start()
        _copy(remote, caller)
        _hang_up(caller, socket.SHUT_RDWR)  # ends the other way, which hangs up on the remote end
        # That end still writes what came for us, and would break if nobody took it.
        with suppress(OSError):
            while remote.recv(_CHUNK_BYTES):
                pass
        there.join()


def _copy(source: Any, sink: Any) -> None:
    """Carry bytes one way until either end hangs up, and tell the sink."""
    with suppress(OSError):
        while data := source.recv(_CHUNK_BYTES):
            sink.sendall(data)
    _hang_up(sink, socket.SHUT_WR)


def _hang_up(end: Any, how: int) -> None:
    with suppress(OSError):  # it has done so itself
        end.shutdown(how)
