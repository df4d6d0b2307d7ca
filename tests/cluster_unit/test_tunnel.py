"""From a terminal to a daemon in a pod, through an API server that forwards ports.

There is no kubelet here: the API server of these tests speaks the port-forward protocol itself
(v4.channel.k8s.io, two channels a port) and connects to a real control plane on loopback.
"""

import asyncio
import gc
import json
import socket
import threading
from contextlib import suppress

import pytest
from aiohttp import web
from cryptography.x509 import DNSName
from typer.testing import CliRunner

from rheostat.api.server import ApiServer
from rheostat.cli import terminal
from rheostat.cli.main import app
from rheostat.client import Client, Credentials
from rheostat.cluster.connecting import connect_terminal
from rheostat.cluster.finding import DaemonPod, find_daemons
from rheostat.cluster.tunnel import tunnel
from rheostat.door.tls import TlsFiles
from rheostat.errors import FailedPrecondition, Unreachable

PROXY = "Kubernetes port forward proxy"
"""What the official client calls its threads."""


def pod(namespace, name, port, *, phase="Running", port_name="grpc"):
    return {
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "containers": [
                {"name": "rheostat", "ports": [{"containerPort": port, "name": port_name}]}
            ]
        },
        "status": {"phase": phase},
    }


class Forwarder:
    """An API server that knows pods and forwards their ports."""

    def __init__(self):
        self.pods = []
        self.selectors = []
        self.forwarded = 0
        self.refuses = False
        self.breaks = False
        """Whether connections break as soon as they carry something."""

    def app(self):
        app = web.Application()
        app.add_routes(
            [
                web.get("/api/v1/pods", self._list),
                web.get("/api/v1/namespaces/{namespace}/pods", self._list),
                web.get("/api/v1/namespaces/{namespace}/pods/{pod}/portforward", self._forward),
            ]
        )
        return app

    async def _list(self, request):
        self.selectors.append(request.query["labelSelector"])
        namespace = request.match_info.get("namespace")
        found = [one for one in self.pods if namespace in (None, one["metadata"]["namespace"])]
        return web.json_response({"apiVersion": "v1", "kind": "PodList", "items": found})

    async def _forward(self, request):
        if self.refuses:
            raise web.HTTPForbidden(text='pods "x" is forbidden: cannot create pods/portforward')
        if request.headers.get("Authorization") != "Bearer secret":
            raise web.HTTPUnauthorized
        self.forwarded += 1
        caller = web.WebSocketResponse(protocols=("v4.channel.k8s.io",))
        await caller.prepare(request)
        port = int(request.query["ports"])
        for channel in (b"\0", b"\1"):
            await caller.send_bytes(channel + port.to_bytes(2, "little"))
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError as error:
            await caller.send_bytes(b"\1" + str(error).encode())
            await caller.close()
            return caller
        answers = asyncio.create_task(self._answer(reader, caller))
        async for message in caller:
            if self.breaks:
                request.transport.abort()
            writer.write(message.data[1:])
        writer.close()
        await answers
        return caller

    async def _answer(self, reader, caller):
        with suppress(OSError):
            while data := await reader.read(2**16):
                await caller.send_bytes(b"\0" + data)
        await caller.close()


@pytest.fixture
def kubeconfig(tmp_path, monkeypatch):
    """Write a kubeconfig whose only context leads to a server."""

    def write(server):
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "there", "cluster": {"server": server}}],
            "users": [{"name": "me", "user": {"token": "secret"}}],
            "contexts": [
                {"name": "gpus", "context": {"cluster": "there", "user": "me", "namespace": "ml"}}
            ],
            "current-context": "gpus",
        }
        file = tmp_path / "kubeconfig"
        file.write_text(json.dumps(config))
        monkeypatch.setenv("KUBECONFIG", str(file))
        monkeypatch.delenv("RHEOSTAT_ADDRESS", raising=False)

    return write


@pytest.fixture
async def forwarder(kubeconfig):
    """The API server that the kubeconfig leads to."""
    forwarder = Forwarder()
    runner = web.AppRunner(forwarder.app(), shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    kubeconfig(f"http://{host}:{port}")
    yield forwarder
    await runner.cleanup()


@pytest.fixture
def free_port():
    """A port where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield unused.getsockname()[1]


@pytest.fixture
async def talker_port():
    """Where somebody talks without end, as a stream does."""

    async def talk(reader, writer):
        with suppress(OSError):
            while True:
                writer.write(b"more " * 1000)
                await writer.drain()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
def raised(monkeypatch):
    """What threads raise; a terminal would show it with its traceback."""
    raised = []
    monkeypatch.setattr(threading, "excepthook", lambda told: raised.append(told.exc_value))
    yield raised
    gc.collect()  # a socket left open is told of here, and not in whatever test comes later


@pytest.fixture
def daemon_port(address):
    """The port of a real control plane that knows the run `digits`."""
    return int(address.rpartition(":")[2])


async def rheostat(*arguments):
    """Run the command line in a thread, beside the API server."""
    return await asyncio.to_thread(CliRunner().invoke, app, arguments)


# --- finding -------------------------------------------------------------------------------------


async def test_daemons_are_running_pods_with_a_grpc_port(forwarder):
    forwarder.pods = [
        pod("ml", "rheostat-1", 50051),
        pod("ml", "rheostat-0", 50051),
        pod("ml", "starting", 50051, phase="Pending"),
        pod("ml", "test", 80, port_name="http"),
        pod("other", "rheostat-0", 4711),
    ]

    def find(namespace):
        return find_daemons(connect_terminal("gpus")[0], namespace)

    here = await asyncio.to_thread(find, "ml")
    everywhere = await asyncio.to_thread(find, None)

    assert [str(one) for one in here] == ["ml/rheostat-0", "ml/rheostat-1"]
    assert everywhere[-1] == DaemonPod(namespace="other", name="rheostat-0", port=4711)
    assert forwarder.selectors == ["app.kubernetes.io/name=rheostat"] * 2


async def test_the_namespace_is_that_of_the_context(forwarder):
    assert connect_terminal(None)[1] == "ml"


async def test_an_unknown_context_is_refused(forwarder):
    with pytest.raises(FailedPrecondition, match="nowhere"):
        connect_terminal("nowhere")


def test_a_cluster_that_is_away_is_unreachable(kubeconfig, free_port):
    kubeconfig(f"http://127.0.0.1:{free_port}")

    with pytest.raises(Unreachable, match="the API server cannot be reached"):
        find_daemons(connect_terminal(None)[0], "ml")


# --- the tunnel ----------------------------------------------------------------------------------


async def test_calls_and_streams_go_through_a_tunnel(forwarder, daemon_port):
    there = DaemonPod(namespace="ml", name="rheostat-0", port=daemon_port)

    def call():
        with tunnel(connect_terminal(None)[0], there) as address, Client(address) as client:
            return address, client.get_run("digits"), list(client.watch_run("digits"))

    address, view, events = await asyncio.to_thread(call)

    assert address.startswith("unix:")
    assert view.name == "digits"
    assert [bool(one.view) for one in events] == [True, False, False]
    assert forwarder.forwarded == 1


async def test_several_callers_share_a_tunnel(forwarder, daemon_port):
    there = DaemonPod(namespace="ml", name="rheostat-0", port=daemon_port)

    def call():
        with tunnel(connect_terminal(None)[0], there) as address:
            names = []
            for _ in range(3):
                with Client(address) as client:
                    names.append(client.get_run("digits").name)
            return names

    assert await asyncio.to_thread(call) == ["digits"] * 3


async def test_tls_goes_through_a_tunnel_to_the_name_in_the_certificate(forwarder, service, ours):
    issued = ours.issue("daemon", DNSName("rheostat.ml.svc"))
    certificates = TlsFiles(cert=issued.cert, key=issued.key).watched()
    server = ApiServer(service, address="127.0.0.1:0", certificates=certificates)
    port = int((await server.start()).rpartition(":")[2])
    there = DaemonPod(namespace="ml", name="rheostat-0", port=port)
    credentials = Credentials(ca=ours.file, server_name="rheostat.ml.svc")

    def call():
        with (
            tunnel(connect_terminal(None)[0], there) as address,
            Client(address, credentials=credentials) as client,
        ):
            return client.get_run("digits").name

    assert await asyncio.to_thread(call) == "digits"
    await server.stop(0)


async def test_a_refused_tunnel_says_why(forwarder):
    forwarder.refuses = True
    there = DaemonPod(namespace="ml", name="rheostat-0", port=50051)

    def call():
        with tunnel(connect_terminal(None)[0], there):
            pass

    with pytest.raises(Unreachable, match="403"):
        await asyncio.to_thread(call)


async def test_a_pod_whose_daemon_is_away_is_unreachable(forwarder, free_port):
    there = DaemonPod(namespace="ml", name="rheostat-0", port=free_port)

    def call():
        with (
            tunnel(connect_terminal(None)[0], there) as address,
            Client(address, timeout=5.0) as client,
        ):
            client.list_runs()

    with pytest.raises(Unreachable):
        await asyncio.to_thread(call)


async def test_who_hangs_up_amid_an_answer_leaves_nothing_behind(forwarder, talker_port, raised):
    there = DaemonPod(namespace="ml", name="rheostat-0", port=talker_port)

    def hear_a_little():
        with tunnel(connect_terminal(None)[0], there) as address:
            for _ in range(3):
                with socket.socket(socket.AF_UNIX) as caller:
                    caller.connect(address.removeprefix("unix:"))
                    assert caller.recv(5) == b"more "

    await asyncio.to_thread(hear_a_little)
    async with asyncio.timeout(10):
        while any(one.name.startswith(PROXY) for one in threading.enumerate()):
            await asyncio.sleep(0.01)
    assert raised == []


async def test_a_connection_that_breaks_is_one_that_ends(forwarder, daemon_port, raised):
    forwarder.breaks = True
    there = DaemonPod(namespace="ml", name="rheostat-0", port=daemon_port)

    def call():
        with (
            tunnel(connect_terminal(None)[0], there) as address,
            Client(address, timeout=5.0) as client,
        ):
            client.list_runs()

    with pytest.raises(Unreachable):
        await asyncio.to_thread(call)
    assert raised == []


# --- the command line ----------------------------------------------------------------------------


async def test_any_verb_reaches_the_daemon_of_a_namespace(forwarder, daemon_port, service):
    forwarder.pods = [pod("ml", "rheostat-0", daemon_port)]

    shown = await rheostat("--kube-context", "gpus", "-n", "ml", "lr", "scale", "digits", "0.5")

    assert shown.exit_code == 0, shown.output
    assert "Acts from step 41 on" in shown.output
    assert service.asked[-1][0] == "change_learning_rate"


async def test_the_runs_of_all_namespaces_are_listed_with_their_places(
    forwarder, daemon_port, monkeypatch
):
    monkeypatch.setattr(terminal.OUT, "width", 200)
    forwarder.pods = [pod("ml", "rheostat-0", daemon_port), pod("vision", "big-0", daemon_port)]

    table = await rheostat("-A", "runs", "list")
    listed = await rheostat("-A", "runs", "list", "--json")

    assert table.output.split()[:3] == ["namespace", "pod", "run"]
    rows = json.loads(listed.stdout)
    assert [(one["namespace"], one["pod"], one["run"]) for one in rows] == [
        ("ml", "rheostat-0", "digits"),
        ("vision", "big-0", "digits"),
    ]


async def test_a_daemon_that_does_not_answer_does_not_hide_the_others(
    forwarder, daemon_port, free_port
):
    forwarder.pods = [pod("a", "dead-0", free_port), pod("ml", "rheostat-0", daemon_port)]

    listed = await rheostat("-A", "runs", "list", "--json")

    assert [one["pod"] for one in json.loads(listed.stdout)] == ["rheostat-0"]
    assert "a/dead-0" in listed.stderr


async def test_where_several_daemons_live_one_is_chosen_by_its_pod(forwarder, daemon_port):
    forwarder.pods = [pod("ml", "one-0", daemon_port), pod("ml", "two-0", daemon_port)]

    undecided = await rheostat("-n", "ml", "lr", "show", "digits")
    chosen = await rheostat("-n", "ml", "--pod", "two-0", "lr", "show", "digits")

    assert undecided.exit_code == 1
    assert "choose by -n and --pod: ml/one-0, ml/two-0" in undecided.output
    assert chosen.exit_code == 0, chosen.output


async def test_where_no_daemon_lives_the_command_says_so(forwarder):
    nobody = await rheostat("-n", "ml", "runs", "list")

    assert nobody.exit_code == 1
    assert "no daemon lives in namespace ml" in nobody.output
