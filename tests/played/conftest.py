"""What the tests of a played pod share: an API server, Helm, and podman in the place of a kubelet.

Nothing controls this API server: what Helm puts there is read back here, as a controller and a kubelet
would, and podman plays it, in a network of its own and under the chart's security contexts. Torch is
mounted, as in tests/image.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from base64 import b64decode
from contextlib import contextmanager
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

    def report(self, pod, phase):
        """Say what became of a pod, as its kubelet would."""
        self._objects.get(kind="Pod").status.patch(
            namespace=NAMESPACE, name=pod, body={"status": {"phase": phase}}
        )


@pytest.fixture(scope="session")
def namespace(kubeconfig, tmp_path_factory):
    """The namespace of the tests."""
    return Namespace(kubeconfig, tmp_path_factory.mktemp("helm"))


# --- pods --------------------------------------------------------------------------------------


class Pod:
    """A pod with one container, played by podman in the place of a kubelet.

    Volumes are folders of this machine, as on a node; the probes are left to the tests.
    """

    def __init__(self, podman, namespace, name, spec, hosts, folder):
        [container] = spec["containers"]
        self.probes = {
            kind: container.pop(f"{kind}Probe")["httpGet"]
            for kind in ("startup", "liveness", "readiness")
            if f"{kind}Probe" in container
        }
        # podman would open them to everybody who reaches this machine.
        self._ports = {port["name"]: port["containerPort"] for port in container.pop("ports", ())}
        for volume in spec["volumes"]:
            kind = next(key for key in volume if key != "name")
            path = folder / volume["name"]
            fill(path, kind, volume.pop(kind), spec["securityContext"]["fsGroup"], namespace)
            volume["hostPath"] = {"path": str(path)}
        torch = str(Path(find_spec("torch").origin).parents[1])
        spec["volumes"].append({"name": "torch", "hostPath": {"path": torch}})
        mount = {"name": "torch", "mountPath": "/opt/torch", "readOnly": True}
        container["volumeMounts"].append(mount)
        spec["hostAliases"] = [{"ip": ip, "hostnames": [host]} for host, ip in hosts.items()]
        manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        self._file = folder / "pod.json"
        self._file.write_text(json.dumps(manifest))
        self._podman = podman
        self._name = name
        self._container = f"{name}-{container['name']}"
        self._grace_seconds = spec["terminationGracePeriodSeconds"]
        podman("kube", "play", "--replace", f"--network={NETWORK}", self._file)

    @property
    def address(self):
        infra = self._podman("pod", "inspect", "--format={{.InfraContainerID}}", self._name)
        path = f"{{{{.NetworkSettings.Networks.{NETWORK}.IPAddress}}}}"
        return self._podman("inspect", f"--format={path}", infra)

    def endpoint(self, port):
        """Return where a port answers, by its name."""
        return f"{self.address}:{self._ports[port]}"

    @property
    def log(self):
        return self._podman("logs", self._container, stderr=subprocess.STDOUT)

    def execute(self, *command):
        """Run a command inside, and return what it prints."""
        return self._podman("exec", self._container, *command)

    def wait(self):
        """Return the exit code, once it has ended by itself."""
        return int(self._podman("wait", self._container))

    def end(self):
        """End it as a kubelet does, which kills it after its grace period; return the exit code."""
        self._podman("pod", "stop", f"--time={self._grace_seconds}", self._name)
        return self.wait()

    def remove(self):
        self._podman("kube", "down", self._file)


def fill(path, kind, source, group, namespace):
    """Make the folder of a volume, with the owners and rights that a kubelet gives to it."""
    if kind == "configMap":
        texts = namespace.read("ConfigMap", source["name"])["data"]
        files = {key: text.encode() for key, text in texts.items()}
    elif kind == "secret":
        texts = namespace.read("Secret", source["secretName"])["data"]
        files = {key: b64decode(text) for key, text in texts.items()}
    else:
        assert kind in ("emptyDir", "persistentVolumeClaim"), kind
        files = {}
    path.mkdir(parents=True)
    os.chown(path, 0, group)
    path.chmod(0o2770)
    wanted = {one["key"]: one["path"] for one in source.get("items", ())} or {key: key for key in files}
    for key, name in wanted.items():
        (path / name).write_bytes(files[key])
        os.chown(path / name, 0, group)
        (path / name).chmod(source["defaultMode"])


@pytest.fixture(scope="session")
def podman():
    """Run podman, and return what it prints."""
    [folder] = get_part("./containers.sh")

    def run(*arguments, stderr=subprocess.PIPE):
        command = [f"{folder}/podman", *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout.strip()

    return run


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
    podman("untag", image, name)


@pytest.fixture(scope="session")
def play(podman, namespace, image, tmp_path_factory):
    """Play a pod for the life of a block; it knows some hosts by their addresses."""

    @contextmanager
    def play(name, spec, hosts=MappingProxyType({})):
        pod = Pod(podman, namespace, name, spec, hosts, tmp_path_factory.mktemp(name))
        try:
            yield pod
        finally:
            pod.remove()

    return play
