"""What the tests on a real Kubernetes API server share: the server, and who asks it.

It is a kube-apiserver with its etcd, as `tools/parts/kube_apiserver.sh` provides them. Neither
scheduler, controllers nor kubelets are there: a StatefulSet makes no pods, a namespace that is
deleted stays.
"""

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
from kubernetes import client, utils
from kubernetes.client.exceptions import ApiException
from ruamel.yaml import YAML

from rheostat.client import Client

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/rheostat"
PLUGINS = Path(__file__).parents[1] / "plugins"
RHEOSTAT = (sys.executable, "-m", "rheostat")
NAMESPACE = "ml"
RESOURCES = {
    "group": "rheostat.dev",
    "version": "v1alpha1",
    "plural": "trainingruns",
    "namespace": NAMESPACE,
}
ADMIN, SERVICE_ACCOUNT = "token-of-the-admin", "token-of-the-service-account"
TOKENS = (
    f'{ADMIN},admin,1,"system:masters"\n'
    f"{SERVICE_ACCOUNT},system:serviceaccount:{NAMESPACE}:rheostat,2,system:serviceaccounts\n"
)
PATIENCE_SECONDS = 60.0
FOREVER = 10**7
"""Steps that no test waits for; such a run is stopped."""


def wait_until(question, what):
    """Ask again and again, and return the first answer that is true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (answer := question()):
        assert time.monotonic() < deadline, f"still waiting until {what}"
        time.sleep(0.2)
    return answer


def part(*command):
    """Return what a script of tools/parts prints; skip with its reason where it has no part."""
    made = subprocess.run(command, capture_output=True, text=True, cwd=ROOT / "tools/parts")
    if made.returncode:
        pytest.skip((made.stderr.splitlines() or [f"{command[-1]} failed"])[-1])
    return made.stdout.split()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(command, log):
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()  # told to end, an API server waits a minute for those who watch
        process.wait()


# --- the API server ----------------------------------------------------------------------------


class Cluster:
    """A Kubernetes API server, and ways to ask it."""

    def __init__(self, folder, binary, etcd_url):
        self.folder = folder
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.ca = folder / "certificates/apiserver.crt"
        tokens = folder / "tokens.csv"
        tokens.write_text(TOKENS)
        key = folder / "service-accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        self._command = [
            binary,
            f"--etcd-servers={etcd_url}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.port}",
            "--insecure-port=0",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--cert-dir={folder}/certificates",
            "--authorization-mode=RBAC",
            f"--token-auth-file={tokens}",
            "--anonymous-auth=false",
            "--service-cluster-ip-range=10.96.0.0/24",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={key}",
            f"--service-account-key-file={key}",
            "--disable-admission-plugins=ServiceAccount",
            "--allow-privileged=true",
            "--profiling=false",
        ]
        self._life = ExitStack()

    def start(self):
        self._life.enter_context(running(self._command, self.folder / "apiserver.log"))
        wait_until(self._is_ready, "the API server is ready")

    def stop(self):
        self._life.close()

    def _is_ready(self):
        request = Request(f"{self.url}/readyz", headers={"Authorization": f"Bearer {ADMIN}"})
        try:
            context = ssl.create_default_context(cafile=str(self.ca))
            with urlopen(request, context=context) as answer:
                return answer.status == 200
        except (OSError, URLError):
            return False

    def client(self, token=ADMIN):
        """Return an API client that asks with a token."""
        settings = client.Configuration(host=self.url)
        settings.ssl_ca_cert = str(self.ca)
        settings.api_key = {"BearerToken": f"Bearer {token}"}
        settings.retries = 0
        return client.ApiClient(settings)

    def kubeconfig(self, token=ADMIN):
        """Return the path of a kubeconfig that asks with a token, in the tests' namespace."""
        there = {"server": self.url, "certificate-authority": str(self.ca)}
        context = {"cluster": "test", "user": "tester", "namespace": NAMESPACE}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": there}],
            "users": [{"name": "tester", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": context}],
            "current-context": "test",
        }
        path = self.folder / f"kubeconfig-with-{token}"
        path.touch(mode=0o600)
        path.write_text(json.dumps(document))
        return path

    def table(self):
        """Return what `kubectl get trainingruns` prints: rows by name, cells by column."""
        path = f"/apis/rheostat.dev/v1alpha1/namespaces/{NAMESPACE}/trainingruns"
        accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
        headers = {"Authorization": f"Bearer {ADMIN}", "Accept": accept}
        context = ssl.create_default_context(cafile=str(self.ca))
        with urlopen(Request(self.url + path, headers=headers), context=context) as answer:
            table = json.load(answer)
        columns = [one["name"] for one in table["columnDefinitions"]]
        rows = [dict(zip(columns, row["cells"], strict=True)) for row in table["rows"]]
        return {row["Name"]: row for row in rows}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """The API server, with the definition of TrainingRun and the namespace of the tests."""
    [binary] = part("bash", "kube_apiserver.sh")
    if shutil.which("etcd") is None:
        pytest.skip("no etcd")
    folder = tmp_path_factory.mktemp("cluster")
    here, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    etcd = ["etcd", "--data-dir", folder / "etcd", "--unsafe-no-fsync", "--name", "test"]
    etcd += ["--listen-client-urls", here, "--advertise-client-urls", here]
    etcd += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
    etcd += ["--initial-cluster", f"test={peer}"]
    cluster = Cluster(folder, binary, here)
    with running(etcd, folder / "etcd.log"):
        cluster.start()
        admin = cluster.client()
        client.CoreV1Api(admin).create_namespace({"metadata": {"name": NAMESPACE}})
        definition = YAML(typ="safe").load(CHART / "files/trainingrun-crd.yaml")
        client.ApiextensionsV1Api(admin).create_custom_resource_definition(definition)
        wait_until(lambda: is_served(admin), "TrainingRuns are served")
        yield cluster
        cluster.stop()


def is_served(api_client):
    try:
        client.CustomObjectsApi(api_client).list_namespaced_custom_object(**RESOURCES)
    except ApiException:
        return False
    return True


@pytest.fixture(scope="session")
def helms():
    """The Helm binaries, the newest first."""
    return part(sys.executable, "helm.py")


@pytest.fixture(scope="session")
def rights(cluster, helms):
    """What the chart gives to the service account of its daemon, and nothing more."""
    values = CHART / "ci/training-runs-values.yaml"
    command = [helms[0], "template", "rheostat", CHART, "--namespace", NAMESPACE]
    command += ["--values", values, "--show-only", "templates/rbac.yaml"]
    rendered = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for document in YAML(typ="safe").load_all(rendered):
        utils.create_from_dict(cluster.client(), document, namespace=NAMESPACE)


# --- resources ---------------------------------------------------------------------------------


def small_run(**sections):
    """Return a spec that trains a small network, and leaves the processor to those who wait."""
    return {
        "model": {"name": "unhurried:network"},
        "data": {"name": "digits"},
        "optimizer": {"name": "AdamW", "lr": 1e-3},
        "train": {"steps": FOREVER, "device": "cpu"},
        "evaluate": {"every": 200},
        **sections,
    }


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
        """Return a condition; an empty one where there is none."""
        conditions = self.status.get("conditions", ())
        return next((one for one in conditions if one["type"] == kind), {})

    def patch(self, **spec):
        return self._api.patch_namespaced_custom_object(
            **self._where,
            body={"spec": spec},
            field_manager="kubectl-patch",
            _content_type="application/merge-patch+json",
        )

    def delete(self):
        self._api.delete_namespaced_custom_object(**self._where)

    def is_gone(self):
        found = self._api.list_namespaced_custom_object(**RESOURCES)["items"]
        return self.name not in [one["metadata"]["name"] for one in found]

    def until(self, question):
        """Wait until the status answers a question with something true, and return that."""
        return wait_until(
            lambda: question(self.status), f"{self.name} is as wanted, not {self.status}"
        )

    def until_phase(self, *phases):
        return self.until(lambda status: status if status.get("phase") in phases else None)

    def event(self, reason):
        """Wait for an Event about it, and return that."""
        core = client.CoreV1Api(self.cluster.client())
        selector = f"involvedObject.name={self.name},reason={reason}"
        [event, *_] = wait_until(
            lambda: core.list_namespaced_event(NAMESPACE, field_selector=selector).items,
            f"there is an Event {reason}",
        )
        return event


@pytest.fixture
def apply(cluster):
    """Create a TrainingRun in the namespace of the tests; it is gone when the test is over."""
    created = []

    def create(name, run=None, **spec):
        if "attached" not in spec:
            spec = {"run": small_run() if run is None else run, **spec}
        body = {
            "apiVersion": "rheostat.dev/v1alpha1",
            "kind": "TrainingRun",
            "metadata": {"name": name},
            "spec": spec,
        }
        api = client.CustomObjectsApi(cluster.client())
        api.create_namespaced_custom_object(**RESOURCES, body=body, field_manager="kubectl-create")
        created.append(Resource(cluster, name))
        return created[-1]

    yield create
    for resource in created:
        if not resource.is_gone():
            resource.delete()
            wait_until(resource.is_gone, f"{resource.name} is gone")


# --- daemons -----------------------------------------------------------------------------------


class Daemon:
    """A `rheostat serve --kubernetes` that asks as the chart's service account."""

    def __init__(self, cluster, state_dir, name):
        self.state_dir = state_dir
        self.log = state_dir / "serve.log"
        state_dir.mkdir(exist_ok=True)
        environment = {
            **os.environ,
            "KUBECONFIG": str(cluster.kubeconfig(SERVICE_ACCOUNT)),
            "RHEOSTAT_STATE_DIR": str(state_dir),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(PLUGINS),
        }
        options = ["--address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0"]
        options += ["--daemon-name", name, "--log-level", "debug"]
        options += ["--allow-import", "unhurried:*"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*RHEOSTAT, "serve", "--kubernetes", *options],
                env=environment,
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
        found = wait_until(self._endpoints, "the daemon is ready")
        self.address = found["address"]
        self.client = Client(self.address, principal="ada@terminal")

    def steps_of(self, run):
        snapshot = self.client.get_run(run).snapshot
        return snapshot.step if snapshot else 0

    def terminate(self):
        self.client.close()
        self.process.terminate()
        return self.process.wait(PATIENCE_SECONDS)

    def kill(self):
        self.client.close()
        self.process.kill()
        self.process.wait()

    def _endpoints(self):
        assert self.process.poll() is None, self.log.read_text()
        file = self.state_dir / "daemon.json"
        found = json.loads(file.read_text()) if file.exists() else {}
        return found if found.get("pid") == self.process.pid else None


@contextmanager
def daemons(cluster, folder):
    """Start daemons, each on a state directory of its name's own in a folder, and end them."""
    with ExitStack() as stack:

        def start(name="daemon-0"):
            daemon = Daemon(cluster, folder / name, name)
            stack.callback(lambda: daemon.process.poll() is None and daemon.terminate())
            return daemon

        yield start


@pytest.fixture
def start_daemon(cluster, rights, tmp_path):
    """Start a daemon, on a state directory of its name's own."""
    with daemons(cluster, tmp_path) as start:
        yield start


@pytest.fixture
def eventually():
    """Ask again and again, and return the first answer that is true."""
    return wait_until
