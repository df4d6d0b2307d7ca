"""What the tests of the image share: the image on a real Debian, and hardened containers of it.

Torch is not in these images, it would make them gigabytes: a container that trains has the venv of
these tests mounted where the layer of torch would be, on a Debian that has the Python of that venv.
"""

import json
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

CHECKOUT = Path(__file__).parents[2]
PARTS = CHECKOUT / "tools" / "parts"
COPIED = (
    *("Dockerfile", ".dockerignore", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"),
    *("daemon", "policies", "locks"),
)
"""What the Dockerfile takes from a checkout."""
UNAVAILABLE = 69
"""Exit code of a script in tools/parts whose part cannot be had on this machine."""
DEBIAN_OF_PYTHON = {(3, 11): "bookworm", (3, 13): "trixie"}
HARDENED = (
    "--read-only",
    "--read-only-tmpfs=false",  # podman's own would make more than /tmp writable
    "--tmpfs=/tmp",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
)
BUF = Path(sys.executable).with_name("buf")
START_SECONDS = 60.0
DRAIN_SECONDS = 40
"""Longer than the daemon's own drain."""


def get_part(script, *arguments):
    """Return what a script of tools/parts has made; skip where it cannot."""
    done = subprocess.run([PARTS / script, *arguments], capture_output=True, text=True)
    if done.returncode == UNAVAILABLE:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def free_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


class Container:
    """A daemon in a container, as locked up as in a cluster."""

    def __init__(self, podman, image, *options):
        self._podman = podman
        self._id = podman("run", "--detach", *HARDENED, *options, image)

    def wait_until_ready(self):
        deadline = time.monotonic() + START_SECONDS
        while "daemon.ready" not in self.log:
            assert self.is_running, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.1)

    @property
    def is_running(self):
        return self._podman("inspect", "--format={{.State.Running}}", self._id) == "true"

    @property
    def log(self):
        return self._podman("logs", self._id, stderr=subprocess.STDOUT)

    @property
    def events(self):
        return [json.loads(line) for line in self.log.splitlines()]

    def execute(self, *command):
        """Run a command inside, and return what it prints."""
        return self._podman("exec", self._id, *command)

    def check_health(self):
        """Run the HEALTHCHECK of the image; if it fails, so does the test."""
        self._podman("healthcheck", "run", self._id)

    def stop(self):
        """Send SIGTERM, as Kubernetes and `docker stop` do, and return the exit code."""
        self._podman("stop", f"--time={DRAIN_SECONDS}", self._id)
        return int(self._podman("wait", self._id))

    def remove(self):
        self._podman("rm", "--force", "--volumes", "--time=1", self._id)


class ReachableContainer(Container):
    """One that answers on free ports of this machine's loopback."""

    def __init__(self, podman, image, *options):
        self.address, self.metrics_address, self.health_address = (free_address() for _ in range(3))
        super().__init__(
            podman,
            image,
            "--network=host",
            f"--env=RHEOSTAT_ADDRESS={self.address}",
            f"--env=RHEOSTAT_METRICS_ADDRESS={self.metrics_address}",
            f"--env=RHEOSTAT_HEALTH_ADDRESS={self.health_address}",
            *options,
        )


@pytest.fixture(scope="session")
def linters():
    """The folder of hadolint and checkov."""
    return Path(get_part("linters.sh"))


@pytest.fixture(scope="session")
def podman():
    """Run podman, and return what it prints."""
    command = Path(get_part("containers.sh")) / "podman"

    def run(*arguments, stderr=subprocess.PIPE):
        done = subprocess.run(
            [command, *arguments], stdout=subprocess.PIPE, stderr=stderr, text=True
        )
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout.strip()

    return run


@pytest.fixture(scope="session")
def suite():
    """The Debian that the Dockerfile names."""
    dockerfile = (CHECKOUT / "Dockerfile").read_text()
    [suite] = re.findall(r"^ARG BASE=debian:(\w+)-slim$", dockerfile, re.MULTILINE)
    return suite


@pytest.fixture(scope="session")
def image(suite):
    """The image on that Debian."""
    return get_part("rheostat_image.sh", suite)


@pytest.fixture(scope="session")
def inspect(podman):
    """Return what an image says of itself."""

    def inspect(image):
        [inspected] = json.loads(podman("image", "inspect", image))
        return inspected

    return inspect


@pytest.fixture(scope="session")
def inspected(inspect, image):
    """What the image says of itself."""
    return inspect(image)


@pytest.fixture
def build_changed(tmp_path, podman, inspect, suite):
    """Build the image from a checkout in which a file has changed, and inspect it."""
    tag = "changed"

    def build(file):
        for name in COPIED:
            copy = shutil.copytree if (CHECKOUT / name).is_dir() else shutil.copy
            copy(CHECKOUT / name, tmp_path / name)
        with (tmp_path / file).open("a") as source:
            source.write("# changed\n")
        return inspect(get_part("rheostat_image.sh", suite, tmp_path, tag))

    yield build
    podman("image", "rm", "--ignore", f"localhost/rheostat:{tag}")


@pytest.fixture(scope="session")
def inside(podman, image):
    """Run a shell command in the image as root, and return the lines that it prints."""

    def run(command):
        options = ("--rm", "--network=none", "--user=0", "--entrypoint=sh")
        return podman("run", *options, image, "-c", command).splitlines()

    return run


@contextmanager
def living(container):
    try:
        container.wait_until_ready()
        yield container
    finally:
        container.remove()


@pytest.fixture
def start_alone(podman, image):
    """Start a container that reaches nothing and nobody, without an option of our own."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(living(Container(podman, image, "--network=none")))


@pytest.fixture(scope="session")
def container(podman, image):
    """A daemon that needs no torch, since it trains nothing."""
    with living(ReachableContainer(podman, image)) as container:
        yield container


@pytest.fixture
def trainer(podman):
    """A daemon that can train, with the torch of these tests."""
    suite = DEBIAN_OF_PYTHON.get(sys.version_info[:2])
    if suite is None:
        pytest.skip(f"no Debian has the Python of this venv, {sys.version}")
    packages = Path(find_spec("torch").origin).parents[1]
    image = get_part("rheostat_image.sh", suite)
    torch_layer = f"--volume={packages}:/opt/torch:ro"
    with living(ReachableContainer(podman, image, torch_layer)) as container:
        yield container


@pytest.fixture(scope="session")
def get_status():
    """Return the HTTP status of an address."""

    def get(url):
        try:
            with urlopen(url, timeout=5) as response:
                return response.status
        except HTTPError as error:
            return error.code

    return get


@pytest.fixture(scope="session")
def buf_curl():
    """Call a gRPC method without our client, and return its answer."""

    def call(address, method, request):
        done = subprocess.run(
            [
                *(BUF, "curl", "--protocol=grpc", "--http2-prior-knowledge"),
                *(f"--data={json.dumps(request)}", f"http://{address}/{method}"),
            ],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return call
