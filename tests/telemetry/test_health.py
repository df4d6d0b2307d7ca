import pytest

from rheostat.errors import RheostatError
from rheostat.telemetry.health import HealthServer


@pytest.fixture
async def health():
    """A health server; `health.url` is where, `health.is_ready` can be set."""
    server = HealthServer(address="127.0.0.1:0", is_ready=lambda: server.is_ready)
    server.is_ready = True
    server.url = f"http://{await server.start()}"
    yield server
    await server.stop()


@pytest.mark.parametrize(("is_ready", "status"), [(True, 200), (False, 503)])
async def test_readiness_is_told(health, http, is_ready, status):
    health.is_ready = is_ready

    async with http.get(f"{health.url}/readyz") as ready, http.get(f"{health.url}/healthz") as live:
        assert (ready.status, live.status) == (status, 200)


@pytest.mark.parametrize("path", ["/", "/metrics", "/healthz/", "/readyz/x", "/index.html"])
async def test_there_is_nothing_else(health, http, path):
    async with http.get(f"{health.url}{path}") as answer:
        assert answer.status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
async def test_it_answers_nothing_but_get(health, http, method):
    async with http.request(method, f"{health.url}/healthz") as answer:
        assert answer.status == 404


async def test_its_address_is_named_where_it_cannot_be_had(health):
    taken = health.url.removeprefix("http://")

    with pytest.raises(RheostatError, match=f"health address {taken} is in use"):
        await HealthServer(address=taken, is_ready=lambda: True).start()
