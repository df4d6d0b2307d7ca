"""How much the HTTP side takes from callers: requests, silence, bodies that nobody wants."""

import asyncio
import socket

import pytest

from rheostat.door.authenticating import Door
from rheostat.door.limits import Limits
from rheostat.door.roles import Role
from rheostat.door.tokens import TokenFile, new_token
from rheostat.telemetry.health import HealthServer
from rheostat.telemetry.server import TelemetryServer
from rheostat.web import listening

FEW = Limits(requests_per_minute=2)
MEGABYTE = 2**20


@pytest.fixture
async def start(source):
    """Start a server of a kind: `address = await start(TelemetryServer)`."""
    servers = []

    async def start(kind, **options):
        if kind is TelemetryServer:
            options |= {"source": source, "version": "1.2.3"}
        servers.append(kind(address="127.0.0.1:0", is_ready=lambda: True, **options))
        return await servers[-1].start()

    yield start
    for server in servers:
        await server.stop()


async def status_of(http, url, token=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with http.get(url, headers=headers) as answer:
        await answer.read()
        return answer.status, answer.headers.get("Retry-After")


@pytest.mark.parametrize("kind", [TelemetryServer, HealthServer])
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_too_many_probes_are_told_when_to_come_again(start, http, kind, path):
    url = f"http://{await start(kind, limits=FEW)}{path}"

    assert [await status_of(http, url) for _ in range(3)] == [(200, None)] * 2 + [(429, "30")]


async def test_scrapes_are_counted_by_who_scrapes(start, http, tmp_path):
    ada, eve = (new_token(name, Role.VIEWER) for name in ("ada", "eve"))
    (tmp_path / "tokens").write_text(f"{ada.line}\n{eve.line}\n")
    door = Door([TokenFile(tmp_path / "tokens")])
    url = f"http://{await start(TelemetryServer, door=door, limits=FEW)}/metrics"

    asked = [await status_of(http, url, ada.token) for _ in range(3)]

    assert [status for status, _ in asked] == [200, 200, 429]
    assert await status_of(http, url, eve.token) == (200, None)
    assert (await status_of(http, url, "guess"))[0] == 401


@pytest.mark.parametrize("said", [b"", b"GET /metrics HTTP/1.1\r\nX-Slow: a"])
async def test_a_connection_of_which_nothing_comes_is_closed(start, monkeypatch, said):
    monkeypatch.setattr(listening, "HANDSHAKE_SECONDS", 0.1)
    host, _, port = (await start(TelemetryServer)).rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(said)

    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


async def test_a_connection_that_asks_in_time_is_kept(start, monkeypatch):
    monkeypatch.setattr(listening, "HANDSHAKE_SECONDS", 0.1)
    host, _, port = (await start(TelemetryServer)).rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for _ in range(2):
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await asyncio.wait_for(reader.readuntil(b"alive\n"), 5)).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(0.2)
    writer.close()


async def test_a_body_that_nobody_wants_is_hung_up_on(start):
    host, _, port = (await start(TelemetryServer)).rpartition(":")

    def send():
        """Return how much of a hundred megabytes gets away."""
        head = f"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: {100 * MEGABYTE}\r\n\r\n"
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(head.encode())
            for sent in range(100):
                try:
                    connection.sendall(bytes(MEGABYTE))
                except ConnectionError:
                    return sent
        return 100

    assert await asyncio.to_thread(send) < 50
