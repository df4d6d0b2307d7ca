"""A way to a daemon in a pod: the API server forwards a port of it to a socket of ours."""

import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rheostat.cluster.finding import DaemonPod
from rheostat.errors import Unreachable

_CHUNK_BYTES = 64 * 2**10


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
    # The first way through is opened at once, so that it is told why there is none.
    first = _forward(api, pod)
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
    waiting = [first]
    while True:
        try:
            caller, _ = listener.accept()
        except OSError:
            break
        try:
            remote = waiting.pop() if waiting else _forward(api, pod)
        except Unreachable:
            caller.close()  # who called sees a broken connection, and may try again
            continue
        for source, sink in ((caller, remote), (remote, caller)):
            copy = threading.Thread(target=_copy, args=(source, sink), name=f"bytes of {pod}")
            copy.daemon = True
            copy.start()
    for unused in waiting:
        unused.close()


def _forward(api: Any, pod: DaemonPod) -> Any:
    """Return a socket that leads to the pod."""
    from kubernetes.client.exceptions import ApiException
    from kubernetes.stream import portforward

    connect = api.connect_get_namespaced_pod_portforward
    try:
        forward = portforward(connect, pod.name, pod.namespace, ports=str(pod.port))
    except ApiException as error:
        raise Unreachable(f"no port is forwarded to pod {pod}: {error.reason}") from error
    return forward.socket(pod.port)


def _copy(source: Any, sink: Any) -> None:
    """Carry bytes one way until either end hangs up; then both do."""
    with suppress(OSError):
        while data := source.recv(_CHUNK_BYTES):
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
