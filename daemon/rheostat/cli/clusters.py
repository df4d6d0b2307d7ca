"""Daemons in a Kubernetes cluster: which one is meant, and the way there."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rheostat.errors import FailedPrecondition, NotFound

if TYPE_CHECKING:
    from rheostat.cluster.finding import DaemonPod

_PANEL = "Daemons in a Kubernetes cluster"

KubeContext = Annotated[
    str | None,
    typer.Option(
        "--kube-context",
        metavar="CONTEXT",
        rich_help_panel=_PANEL,
        help="Context of the kubeconfig; by default the current one.",
    ),
]
Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        "-n",
        metavar="NAMESPACE",
        rich_help_panel=_PANEL,
        help="Namespace of the daemon; by default that of the context.",
    ),
]
AllNamespaces = Annotated[
    bool,
    typer.Option(
        "--all-namespaces", "-A", rich_help_panel=_PANEL, help="Daemons of all namespaces."
    ),
]
Pod = Annotated[
    str | None,
    typer.Option(
        "--pod",
        metavar="POD",
        rich_help_panel=_PANEL,
        help="Pod of the daemon, where there are several.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What the options before the verb say of a cluster."""

    context: str | None
    """Name in the kubeconfig; None is the current one."""
    namespace: str | None
    """None is that of the context."""
    is_everywhere: bool
    """Whether all namespaces are meant."""
    pod: str | None
    """Name of the pod; None where there is but one."""


_ASKED: ContextVar[Cluster | None] = ContextVar("cluster", default=None)


def ask(context: str | None, namespace: str | None, all_namespaces: bool, pod: str | None) -> None:
    """Keep what the options say for the verb that comes after them."""
    is_asked = context or namespace or all_namespaces or pod
    cluster = Cluster(context=context, namespace=namespace, is_everywhere=all_namespaces, pod=pod)
    _ASKED.set(cluster if is_asked else None)


def asked_cluster() -> Cluster | None:
    """Return the cluster that the command line names; None where it names none."""
    return _ASKED.get()


@contextmanager
def tunnel_to(cluster: Cluster) -> Iterator[str]:
    """Open a tunnel to the one daemon that is meant, and return its address.

    Raises:
        NotFound, FailedPrecondition: if there is no such daemon, or more than one.
        Unreachable: if the cluster is.
    """
    from rheostat.cluster.tunnel import tunnel

    api, pods = _find(cluster)
    if len(pods) > 1:
        names = ", ".join(map(str, pods))
        raise FailedPrecondition(f"more than one daemon is there, choose by -n and --pod: {names}")
    with tunnel(api, pods[0]) as address:
        yield address


def daemons_of(
    cluster: Cluster,
) -> list[tuple["DaemonPod", Callable[[], AbstractContextManager[str]]]]:
    """Return every daemon that is meant, and what opens a tunnel there."""
    from rheostat.cluster.tunnel import tunnel

    api, pods = _find(cluster)
    return [(pod, partial(tunnel, api, pod)) for pod in pods]


def _find(cluster: Cluster) -> tuple[Any, list["DaemonPod"]]:
    from rheostat.cluster.connecting import connect_terminal
    from rheostat.cluster.finding import find_daemons

    api, own_namespace = connect_terminal(cluster.context)
    namespace = None if cluster.is_everywhere else cluster.namespace or own_namespace
    pods = [
        pod
        for pod in find_daemons(api, namespace)
        if cluster.pod is None or pod.name == cluster.pod
    ]
    if not pods:
        where = "any namespace" if namespace is None else f"namespace {namespace}"
        named = f" in a pod {cluster.pod}" if cluster.pod else ""
        raise NotFound(f"no daemon lives{named} in {where}: no running pod says so by its labels")
    return api, pods
