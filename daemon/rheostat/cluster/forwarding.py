"""One port of a pod as a socket: the API server forwards it, the official client speaks to it."""

from contextlib import suppress
from typing import Any

from kubernetes.stream.ws_client import PortForward, create_websocket, get_websocket_url
from websocket import WebSocketException

from rheostat.cluster.finding import DaemonPod
from rheostat.errors import Unreachable

_PATH = "/api/v1/namespaces/{namespace}/pods/{name}/portforward"


def forward(api: Any, pod: DaemonPod) -> Any:
    """Return a socket that leads to a daemon.

    Args:
        api: a `kubernetes.client.CoreV1Api`.
        pod: where the daemon lives.

    Raises:
        Unreachable: if the API server refuses or cannot be reached.
    """
    client = api.api_client
    # The client's own `portforward` is this, but makes a `PortForward` that nobody can replace, and
    # puts another function in the place of `call_api` meanwhile, which threads would have to share.
    _, url, headers, *_ = client.param_serialize(
        "GET",
        _PATH,
        path_params={"namespace": pod.namespace, "name": pod.name},
        query_params=[("ports", str(pod.port))],
        auth_settings=["BearerToken"],
    )
    try:
        websocket = create_websocket(client.configuration, get_websocket_url(url), headers)
    except (OSError, WebSocketException) as error:
        raise Unreachable(f"no port is forwarded to pod {pod}: {error}") from error
    return _QuietForward(websocket, [pod.port]).socket(pod.port)


class _QuietForward(PortForward):  # type: ignore[misc]  # its types are skipped
    """Ends what it carries when the connection breaks, where the client's own thread would die.

    Its traceback would come out in the user's terminal, and its sockets would stay open.
    """

    def _proxy(self) -> None:
        # Whatever it is: who uses the socket is told by its end.
        with suppress(Exception):
            super()._proxy()
        for port in self.local_ports.values():
            port.python.close()
        self.websocket.shutdown()
