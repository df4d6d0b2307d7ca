"""Finding the cluster: from within by the pod's service account, from without by the kubeconfig."""

import os
from pathlib import Path
from typing import Any

from rheostat.errors import FailedPrecondition

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_INSTALL = "the Python package kubernetes is not installed; pip install 'rheostat[kubernetes]'"


def is_in_cluster() -> bool:
    """Whether this process lives in a pod that may speak to the API server."""
    return "KUBERNETES_SERVICE_HOST" in os.environ and (_SERVICE_ACCOUNT / "token").exists()


async def connect_daemon(namespace: str | None) -> tuple[Any, str]:
    """Return an asyncio client, and the namespace to work in.

    Args:
        namespace: the one wanted; None is the pod's own, or that of the kubeconfig's context.

    Raises:
        FailedPrecondition: if there is no cluster to be found, or no client to reach it with.
    """
    try:
        from kubernetes.aio import client, config
    except ImportError as error:
        raise FailedPrecondition(_INSTALL) from error
    settings = client.Configuration()
    try:
        if is_in_cluster():
            config.load_incluster_config(settings)
            found = (_SERVICE_ACCOUNT / "namespace").read_text().strip()
        else:
            loader = await config.load_kube_config(_kubeconfig(), client_configuration=settings)
            found = loader.current_context["context"].get("namespace", "default")
    except (config.ConfigException, OSError) as error:
        raise _no_cluster(error) from error
    return client.ApiClient(settings), namespace or found


def connect_terminal(context: str | None) -> tuple[Any, str]:
    """Return a blocking client by the kubeconfig, and the namespace of its context.

    Args:
        context: name of the context; None is the current one.

    Raises:
        FailedPrecondition: if there is no such context, or no client to reach it with.
    """
    try:
        from kubernetes import client, config
    except ImportError as error:
        raise FailedPrecondition(_INSTALL) from error
    try:
        contexts, current = config.list_kube_config_contexts(_kubeconfig())
        api_client = config.new_client_from_config(_kubeconfig(), context=context)
    except (config.ConfigException, OSError) as error:
        raise _no_cluster(error) from error
    chosen = current if context is None else next(c for c in contexts if c["name"] == context)
    return client.CoreV1Api(api_client), chosen["context"].get("namespace", "default")


def _kubeconfig() -> str | None:
    """Return the file that is named now; the client itself looks but once, when it is imported."""
    return os.environ.get("KUBECONFIG")


def _no_cluster(error: Exception) -> FailedPrecondition:
    return FailedPrecondition(f"no Kubernetes cluster is known here: {error}")
