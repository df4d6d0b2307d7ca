"""What the tests on a real Kubernetes API server share: the server, and who may ask it.

It is a kube-apiserver with its etcd, as `tools/parts/kube_apiserver.sh` provides them. Neither
scheduler, controllers nor kubelets are there: a StatefulSet makes no pods.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import yaml
from kubernetes import client, utils
from kubernetes.client.exceptions import ApiException

from rheostat.client import Client

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/rheostat"
CRD = CHART / "files/trainingrun-crd.yaml"
RHEOSTAT = (sys.executable, "-m", "rheostat")
NAMESPACE = "ml"
RESOURCES = {
    "group": "rheostat.dev",
    "version": "v1alpha1",
    "plural": "trainingruns",
    "namespace": NAMESPACE,
}
ADMIN = "admin-token"
PATIENCE_SECONDS = 20.0


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
        admin = cluster.client()
        client.CoreV1Api(admin).create_namespace({"metadata": {"name": NAMESPACE}})
        definition = yaml.safe_load(CRD.read_text())
        client.ApiextensionsV1Api(admin).create_custom_resource_definition(definition)
        listed = client.CustomObjectsApi(admin).list_namespaced_custom_object
        wait_until(lambda: is_answered(listed), "the definition is established")
        yield cluster


def is_answered(call):
    try:
        call(**RESOURCES)
    except ApiException:
        return False
    return True


def helm_binaries():
    """Return the paths of the Helm binaries, the newest first."""
    script = ROOT / "tools/parts/helm.py"
    made = subprocess.run([sys.executable, script], capture_output=True, text=True)
    if made.returncode:
        pytest.skip((made.stderr.splitlines() or ["no helm"])[-1])
    return made.stdout.split()


@pytest.fixture(scope="session")
def rights(cluster):
    """What the chart gives to the service account of its daemon, and nothing more."""
    command = [helm_binaries()[0], "template", "rheostat", CHART, "--namespace", NAMESPACE]
    values = ["-f", CHART / "ci/training-runs-values.yaml", "-s", "templates/rbac.yaml"]
    rendered = subprocess.run([*command, *values], check=True, capture_output=True, text=True)
    for document in yaml.safe_load_all(rendered.stdout):
        utils.create_from_dict(cluster.client(), document, namespace=NAMESPACE)


class Resource:
    """A TrainingRun, as somebody with kubectl handles it."""

    def __init__(self, cluster, name):
        self.cluster = cluster
        self.name = name
        self._api = client.CustomObjectsApi(cluster.client())
        self._where = {**RESOURCES, "name": name}

    def get(self):
        return self._api.get_namespaced_custom_object(**self._where)

    @property
    def status(self):
        return self.get().get("status", {})

    def condition(self, kind):
        """Return the status of a condition; None where there is none."""
        conditions = self.status.get("conditions", ())
        return next((one["status"] for one in conditions if one["type"] == kind), None)

    def patch(self, spec, manager="kubectl-patch"):
        return self._api.patch_namespaced_custom_object(
            **self._where,
            body={"spec": spec},
            field_manager=manager,
            _content_type="application/merge-patch+json",
        )

    def delete(self):
        self._api.delete_namespaced_custom_object(**self._where)

    def is_gone(self):
        try:
            self.get()
        except ApiException as error:
            assert error.status == 404
            return True
        return False

    def until(self, question, what):
        """Wait until the status answers a question with something true, and return that."""
        return wait_until(lambda: question(self.status), f"{self.name} {what}")

    def until_phase(self, *phases):
        return self.until(lambda status: status.get("phase") in phases and status, f"is {phases}")

    @property
    def events(self):
        """The Events about it, by reason."""
        core = client.CoreV1Api(self.cluster.client())
        selector = f"involvedObject.name={self.name}"
        found = core.list_namespaced_event(NAMESPACE, field_selector=selector).items
        return {event.reason: event for event in found}


@pytest.fixture
def apply(cluster):
    """Create a TrainingRun in the namespace of the tests; it is gone when the test is over."""
    created = []

    def create(name, run, **spec):
        body = {
            "apiVersion": "rheostat.dev/v1alpha1",
            "kind": "TrainingRun",
            "metadata": {"name": name},
            "spec": {"run": run, **spec},
        }
        api = client.CustomObjectsApi(cluster.client())
        api.create_namespaced_custom_object(
            **RESOURCES, body=body, field_manager="kubectl-client-side-apply"
        )
        created.append(Resource(cluster, name))
        return created[-1]

    yield create
    for resource in created:
        if not resource.is_gone():
            resource.delete()
            wait_until(resource.is_gone, f"{resource.name} is gone")


class Daemon:
    """A `rheostat serve --kubernetes` that asks as the chart's service account."""

    def __init__(self, cluster, state_dir, name, *options):
        self.state_dir = state_dir
        self.log = state_dir / "serve.log"
        state_dir.mkdir(exist_ok=True)
        environment = {
            **os.environ,
            "KUBECONFIG": str(cluster.kubeconfig(token="daemon-token")),
            "RHEOSTAT_STATE_DIR": str(state_dir),
            "OMP_NUM_THREADS": "1",
        }
        ports = ("--address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0", "--log-level", "debug")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*RHEOSTAT, "serve", "--kubernetes", "--daemon-name", name, *ports, *options],
                env=environment,
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
        found = wait_until(self._endpoints, "the daemon is ready")
        self.client = Client(found["address"], principal="ada@terminal")

    def _endpoints(self):
        assert self.process.poll() is None, self.log.read_text()
        file = self.state_dir / "daemon.json"
        found = json.loads(file.read_text()) if file.exists() else {}
        return found if found.get("pid") == self.process.pid else None

    def terminate(self):
        self.client.close()
        self.process.terminate()
        return self.process.wait(PATIENCE_SECONDS)

    def kill(self):
        self.client.close()
        self.process.kill()
        self.process.wait()


@pytest.fixture
def start_daemon(cluster, rights, tmp_path):
    """Start a daemon on the test's own state directory."""
    with ExitStack() as stack:

        def start(name="daemon-0", *options):
            daemon = Daemon(cluster, tmp_path / name, name, *options)
            stack.callback(lambda: daemon.process.poll() is None and daemon.terminate())
            return daemon

        yield start
