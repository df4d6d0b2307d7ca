"""Which daemons live in a cluster: running pods with Rheostat's label and a gRPC port."""

from dataclasses import dataclass
from typing import Any

from rheostat.cluster.names import DAEMON_SELECTOR, GRPC_PORT_NAME
from rheostat.errors import Unreachable

_CALL_SECONDS = 15.0


@dataclass(frozen=True, slots=True, order=True)
class DaemonPod:
    """A pod that a daemon lives in."""

    namespace: str
    name: str
    port: int
    """Of its control plane, inside the pod."""

    def __str__(self) -> str:
        """Render as namespace/name."""
        return f"{self.namespace}/{self.name}"


def find_daemons(api: Any, namespace: str | None) -> list[DaemonPod]:
    """Return the daemons of a namespace, or of all with None, in order.

    Args:
        api: a `kubernetes.client.CoreV1Api`.
        namespace: whose pods are looked at.

    Raises:
        Unreachable: if the API server is away, or may not be asked that.
    """
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    asked = {"label_selector": DAEMON_SELECTOR, "_request_timeout": _CALL_SECONDS}
    try:
        if namespace is None:
            pods = api.list_pod_for_all_namespaces(**asked).items
        else:
            pods = api.list_namespaced_pod(namespace, **asked).items
    except ApiException as error:
        text = f"the API server answers {error.status} to a request for pods: {error.reason}"
        raise Unreachable(text) from error
    except HTTPError as error:
        raise Unreachable(f"the API server cannot be reached: {error}") from error
    return sorted(
        DaemonPod(namespace=pod.metadata.namespace, name=pod.metadata.name, port=port)
        for pod in pods
        if pod.status.phase == "Running" and (port := _grpc_port(pod)) is not None
    )


def _grpc_port(pod: Any) -> int | None:
    for container in pod.spec.containers:
        for port in container.ports or ():
            if port.name == GRPC_PORT_NAME:
                return int(port.container_port)
    return None
