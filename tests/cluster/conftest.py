"""What the tests on a real Kubernetes API server share: the server, and who may ask it.

It is a kube-apiserver with its etcd, as `tools/parts/kube_apiserver.sh` provides them. Neither
scheduler, controllers nor kubelets are there: a StatefulSet makes no pods.
"""

import json
import os
import shutil
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml
from kubernetes import client
from kubernetes.client.exceptions import ApiException

ROOT = Path(__file__).resolve().parents[2]
CRD = ROOT / "helm/rheostat/files/trainingrun-crd.yaml"
ADMIN = "admin-token"
PATIENCE_SECONDS = 60.0


def wait_until(question, what):
    """Ask again and again, and return the first answer that is true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (answer := question()):
        assert time.monotonic() < deadline, f"still waiting until {what}"
        time.sleep(0.05)
    return answer


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def binary():
    """Return the path of the server; the first time on a machine it takes minutes to make."""
    script = ROOT / "tools/parts/kube_apiserver.sh"
    made = subprocess.run(["bash", script], capture_output=True, text=True)
    if made.returncode:
        pytest.skip((made.stderr.splitlines() or ["no kube-apiserver"])[-1])
    return made.stdout.strip()


@contextmanager
def process(command, log):
    with log.open("ab") as output:
        running = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    try:
        yield running
    finally:
        running.terminate()
        running.wait(PATIENCE_SECONDS)


class Cluster:
    """A Kubernetes API server, and ways to ask it."""

    def __init__(self, folder, etcd_url):
        self.folder = folder
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.ca = folder / "certs/apiserver.crt"
        self.tokens = folder / "tokens.csv"
        self._etcd_url = etcd_url
        self.tokens.write_text(
            f'{ADMIN},admin,1,"system:masters"\n'
            'daemon-token,system:serviceaccount:ml:rheostat,2,"system:serviceaccounts"\n'
        )
        self.tokens.chmod(0o600)
        key = folder / "service-accounts.key"
        subprocess.run(
            ["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True
        )
        self.command = [
            binary(),
            f"--etcd-servers={etcd_url}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.port}",
            "--insecure-port=0",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--cert-dir={folder}/certs",
            "--authorization-mode=RBAC",
            f"--token-auth-file={self.tokens}",
            "--anonymous-auth=false",
            "--service-cluster-ip-range=10.96.0.0/24",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={key}",
            f"--service-account-key-file={key}",
            "--disable-admission-plugins=ServiceAccount",
            "--allow-privileged=true",
            "--profiling=false",
        ]

    def is_ready(self):
        try:
            answer = client.CoreV1Api(self.client()).api_client.call_api(
                "GET", f"{self.url}/readyz", {"Authorization": f"Bearer {ADMIN}"}
            )
        except Exception:
            return False
        return answer.status == 200

    def client(self, token=ADMIN):
        """Return an API client that asks with a token."""
        settings = client.Configuration(host=self.url)
        settings.ssl_ca_cert = str(self.ca)
        settings.api_key = {"BearerToken": f"Bearer {token}"}
        settings.retries = 0
        return client.ApiClient(settings)

    def kubeconfig(self, *, token=ADMIN, namespace="ml"):
        """Return the path of a kubeconfig that asks with a token."""
        path = self.folder / f"kubeconfig-{token}-{namespace}"
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "test",
                    "cluster": {"server": self.url, "certificate-authority": str(self.ca)},
                }
            ],
            "users": [{"name": "tester", "user": {"token": token}}],
            "contexts": [
                {
                    "name": "test",
                    "context": {"cluster": "test", "user": "tester", "namespace": namespace},
                }
            ],
            "current-context": "test",
        }
        path.write_text(json.dumps(document))
        path.chmod(0o600)
        return path


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """The API server, with the definition of TrainingRun and the namespace `ml`."""
    folder = tmp_path_factory.mktemp("cluster")
    if shutil.which("etcd") is None:
        pytest.skip("no etcd; tools/parts/kube_apiserver.sh installs it")
    etcd_url, peer_url = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    etcd = [
        *("etcd", "--data-dir", str(folder / "etcd"), "--unsafe-no-fsync", "--name", "test"),
        *("--listen-client-urls", etcd_url, "--advertise-client-urls", etcd_url),
        *("--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url),
        *("--initial-cluster", f"test={peer_url}"),
    ]
    cluster = Cluster(folder, etcd_url)
    with ExitStack() as stack:
        stack.enter_context(process(etcd, folder / "etcd.log"))
        stack.enter_context(process(cluster.command, folder / "apiserver.log"))
        wait_until(cluster.is_ready, "the API server is ready")
        definition = yaml.safe_load(CRD.read_text())
        client.ApiextensionsV1Api(cluster.client()).create_custom_resource_definition(definition)
        yield cluster
