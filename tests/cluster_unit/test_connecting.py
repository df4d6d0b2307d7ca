import json
import sys

import pytest
from kubernetes.aio.config import incluster_config

from rheostat.cluster import connecting
from rheostat.cluster.connecting import connect_daemon, connect_terminal
from rheostat.errors import FailedPrecondition


@pytest.fixture(autouse=True)
def outside(monkeypatch, tmp_path):
    """A process in no cluster, which knows of none."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))


@pytest.fixture
def kubeconfig(tmp_path):
    context = {"cluster": "there", "user": "me", "namespace": "vision"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "there", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "me", "user": {"token": "secret"}}],
        "contexts": [{"name": "gpus", "context": context}],
        "current-context": "gpus",
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(config))


@pytest.fixture
def pod(tmp_path, monkeypatch):
    """A process in a pod, with its service account."""
    account = tmp_path / "serviceaccount"
    account.mkdir()
    for name, text in {"token": "secret", "ca.crt": "a CA", "namespace": "ml\n"}.items():
        (account / name).write_text(text)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(connecting, "_SERVICE_ACCOUNT", account)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(account / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(account / "ca.crt"))
    monkeypatch.setattr("kubernetes.aio.client.ApiClient", lambda settings: settings)


async def test_a_daemon_outside_takes_cluster_and_namespace_of_its_kubeconfig(kubeconfig):
    client, namespace = await connect_daemon(None)

    assert (client.configuration.host, namespace) == ("http://127.0.0.1:1", "vision")
    await client.close()


@pytest.mark.usefixtures("pod")
async def test_a_daemon_in_a_pod_takes_its_service_account_and_namespace():
    settings, namespace = await connect_daemon(None)

    assert (settings.host, namespace) == ("https://10.96.0.1:443", "ml")
    assert settings.api_key == {"BearerToken": "bearer secret"}


@pytest.mark.usefixtures("pod")
async def test_a_namespace_that_is_asked_for_is_taken():
    assert (await connect_daemon("other"))[1] == "other"


async def test_where_no_cluster_is_known_the_daemon_says_so():
    with pytest.raises(FailedPrecondition, match="no Kubernetes cluster is known here"):
        await connect_daemon(None)


def test_where_no_cluster_is_known_the_command_says_so():
    with pytest.raises(FailedPrecondition, match="no Kubernetes cluster is known here"):
        connect_terminal(None)


async def test_without_the_client_both_say_how_to_install_it(monkeypatch):
    for module in [name for name in sys.modules if name.split(".")[0] == "kubernetes"]:
        monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(FailedPrecondition, match=r"pip install 'rheostat\[kubernetes\]'"):
        await connect_daemon(None)
    with pytest.raises(FailedPrecondition, match=r"pip install 'rheostat\[kubernetes\]'"):
        connect_terminal(None)
