"""What the tests of a played pod share: an API server, Helm, and podman in the place of a kubelet.

Nothing controls this API server: what Helm puts there is read back here, as a controller and a
kubelet would, and podman plays it, in a network of its own and under the chart's security contexts.
Torch is mounted, as in tests/image.
"""

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import time
from base64 import b64decode
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

import pytest
from kubernetes import config
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import NotFoundError

CHECKOUT = Path(__file__).parents[2]
PARTS = CHECKOUT / "tools/parts"
UNAVAILABLE = 69
"""Exit code of a script in tools/parts whose part cannot be had on this machine."""
DEBIAN_OF_PYTHON = {(3, 11): "bookworm", (3, 13): "trixie"}
NAMESPACE = "ml"
NETWORK = "podman"
"""The one that podman always has."""
PATIENCE_SECONDS = 60.0


def get_part(*command):
    """Return what a script of tools/parts prints; skip with its reason where it has no part."""
    made = subprocess.run(command, cwd=PARTS, capture_output=True, text=True)
    if made.returncode == UNAVAILABLE:
        pytest.skip(made.stderr.splitlines()[-1])
    assert made.returncode == 0, made.stderr
    return made.stdout.split()


def wait_until(question, what):
    """Ask again and again, and return the first answer that is true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (answer := question()):
        assert time.monotonic() < deadline, f"still waiting until {what}"
        time.sleep(0.1)
    return answer


@contextmanager
def running(command, **options):
    """Have a program run for the life of the block."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, text=True, **options) as process:
        try:
            yield process
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def eventually():
    """Ask again and again, and return the first answer that is true."""
    return wait_until


@pytest.fixture(scope="session")
def run_beside():
    """Have a program run for the life of a block."""
    return running


# --- the API server and Helm -------------------------------------------------------------------


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory):
    """The administrator's kubeconfig of an API server that lives as long as the tests."""
    command = [PARTS / "api_server.sh", tmp_path_factory.mktemp("api-server")]
    with running(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        kubeconfig = process.stdout.readline().strip()
        if not kubeconfig:
            complaint = process.stderr.read()
            assert process.wait() == UNAVAILABLE, complaint
            pytest.skip(complaint.splitlines()[-1])
        yield kubeconfig


@pytest.fixture(scope="session")
def helms():
    """The Helm binaries, the newest first."""
    return get_part(sys.executable, "helm.py")


class Namespace:
    """A namespace of the API server, and Helm's releases in it."""

    def __init__(self, kubeconfig, folder):
        self._objects = DynamicClient(config.new_client_from_config(kubeconfig)).resources
        self._objects.get(kind="Namespace").create(body={"metadata": {"name": NAMESPACE}})
        homes = {f"HELM_{kind}_HOME": str(folder / kind) for kind in ("CACHE", "CONFIG", "DATA")}
        where = {"KUBECONFIG": kubeconfig, "HELM_NAMESPACE": NAMESPACE}
        self._environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), **homes, **where}
        self.chart = folder / "rheostat"
        shutil.copytree(CHECKOUT / "helm/rheostat", self.chart)
        # The server is older than the chart allows.
        about = self.chart / "Chart.yaml"
        relaxed = re.sub(r"(?m)^kubeVersion:.*$", 'kubeVersion: ">=1.20.0-0"', about.read_text())
        about.write_text(relaxed)

    def helm(self, binary, *arguments):
        """Run Helm, and return what it prints."""
        command = [binary, *arguments]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def create(self, kind, name, **fields):
        """Put an object there that no chart brings."""
        body = {"metadata": {"name": name}, **fields}
        self._objects.get(kind=kind).create(namespace=NAMESPACE, body=body)

    def read(self, kind, name):
        """Return an object; None if there is none of that name."""
        try:
            found = self._objects.get(kind=kind).get(namespace=NAMESPACE, name=name)
        except NotFoundError:
            return None
        return found.to_dict()

    def delete(self, kind, name):
        """See to it that there is no object of that name."""
        with suppress(NotFoundError):
            self._objects.get(kind=kind).delete(namespace=NAMESPACE, name=name)

    def report(self, pod, phase):
        """Say what became of a pod, as its kubelet would."""
        self._objects.get(kind="Pod").status.patch(
            namespace=NAMESPACE, name=pod, body={"status": {"phase": phase}}
        )


@pytest.fixture(scope="session")
def namespace(kubeconfig, tmp_path_factory):
    """The namespace of the tests."""
    return Namespace(kubeconfig, tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session")
def prometheus_command():
    """The binary of Prometheus."""
    [folder] = get_part("./prometheus.sh")
    return f"{folder}/prometheus"


# --- pods --------------------------------------------------------------------------------------


class Pod:
    """A pod with one container, played by podman; `spec` is what the API server has."""

    def __init__(self, podman, name, spec, file):
        [self.container] = spec["containers"]
        self.spec = spec
        self._podman = podman
        self._name = name
        self._played = f"{name}-{self.container['name']}"
        self._file = file
        podman("kube", "play", "--replace", f"--network={NETWORK}", file)

    @property
    def address(self):
        infra = self._podman("pod", "inspect", "--format={{.InfraContainerID}}", self._name)
        path = f"{{{{.NetworkSettings.Networks.{NETWORK}.IPAddress}}}}"
        return self._podman("inspect", f"--format={path}", infra)

    def endpoint(self, name):
        """Return where the port of that name answers."""
        [port] = [port for port in self.container["ports"] if port["name"] == name]
        return f"{self.address}:{port['containerPort']}"

    @property
    def log(self):
        return self._podman("logs", self._played, stderr=subprocess.STDOUT)

    def wait_for(self, event):
        """Wait until the log tells of an event."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while event not in (log := self.log):
            assert time.monotonic() < deadline, log
            time.sleep(0.1)

    def execute(self, *command):
        """Run a command inside, and return what it prints."""
        return self._podman("exec", self._played, *command)

    def wait(self):
        """Return the exit code, once it has ended by itself."""
        return int(self._podman("wait", self._played))

    def end(self):
        """End it as a kubelet does, which kills after the grace period; return the exit code."""
        seconds = self.spec["terminationGracePeriodSeconds"]
        self._podman("pod", "stop", f"--time={seconds}", self._name)
        return self.wait()

    def remove(self):
        self._podman("kube", "down", self._file)


def for_podman(spec, volumes, hosts):
    """Return what podman takes of a pod, with torch, and with hosts that it knows by addresses.

    The probes are left to the tests. Ports podman would open to all who reach this machine.
    """
    [container] = spec["containers"]
    left_out = ("startupProbe", "livenessProbe", "readinessProbe", "ports")
    container = {field: value for field, value in container.items() if field not in left_out}
    mount = {"name": "torch", "mountPath": "/opt/torch", "readOnly": True}
    packages = Path(find_spec("torch").origin).parents[1]
    return {
        **spec,
        "containers": [{**container, "volumeMounts": [*container["volumeMounts"], mount]}],
        "volumes": [*volumes, {"name": "torch", "hostPath": {"path": str(packages)}}],
        "hostAliases": [{"ip": address, "hostnames": [name]} for name, address in hosts.items()],
    }


def make_volume(volume, group, folder, namespace):
    """Return a volume that is a folder of this machine, made as a kubelet makes it on its node."""
    match volume:
        case {"configMap": source}:
            data = namespace.read("ConfigMap", source["name"])["data"]
            files = {key: text.encode() for key, text in data.items()}
        case {"secret": source}:
            data = namespace.read("Secret", source["secretName"])["data"]
            files = {key: b64decode(text) for key, text in data.items()}
        case {"emptyDir": source} | {"persistentVolumeClaim": source}:
            files = {}
    path = folder / volume["name"]
    path.mkdir()
    path.chmod(0o2770)
    os.chown(path, 0, group)
    paths = {item["key"]: item["path"] for item in source.get("items", ())}
    for key in paths or files:
        file = path / paths.get(key, key)
        file.write_bytes(files[key])
        file.chmod(source["defaultMode"])
        os.chown(file, 0, group)
    return {"name": volume["name"], "hostPath": {"path": str(path)}}


class PodmanError(Exception):
    """Podman could not do it."""


@pytest.fixture(scope="session")
def podman():
    """Run podman, and return what it prints."""
    [folder] = get_part("./containers.sh")

    def run(*arguments, stderr=subprocess.PIPE):
        command = [f"{folder}/podman", *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
        if done.returncode:
            raise PodmanError(done.stderr or done.stdout)
        return done.stdout.strip()

    # Pods and images have the names that the chart gives, so two sessions would take each other's.
    with Path(folder, "played.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield run


@pytest.fixture(scope="session")
def image(podman, namespace):
    """The image, under the name that the chart calls it by."""
    suite = DEBIAN_OF_PYTHON.get(sys.version_info[:2])
    if suite is None:
        pytest.skip(f"no Debian has the Python of this venv, {sys.version}")
    [image] = get_part("./rheostat_image.sh", suite)
    about = (namespace.chart / "Chart.yaml").read_text()
    [version] = re.findall(r'(?m)^appVersion: "(.+)"$', about)
    name = f"localhost/rheostat:{version}"
    podman("tag", image, name)
    yield name
    podman("untag", name, name)


@pytest.fixture(scope="session")
def play(podman, namespace, image, tmp_path_factory):
    """Play a pod for the life of a block."""
    try:
        podman("run", "--rm", f"--network={NETWORK}", "--entrypoint=true", image)
    except PodmanError as error:
        pytest.skip(f"podman has no network for pods here: {error}")

    @contextmanager
    def play(name, spec, hosts=MappingProxyType({})):
        folder = tmp_path_factory.mktemp(name)
        group = spec["securityContext"]["fsGroup"]
        volumes = [make_volume(one, group, folder, namespace) for one in spec["volumes"]]
        manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}}
        manifest["spec"] = for_podman(spec, volumes, hosts)
        file = folder / "pod.json"
        file.write_text(json.dumps(manifest))
        pod = Pod(podman, name, spec, file)
        try:
            yield pod
        finally:
            pod.remove()

    return play
