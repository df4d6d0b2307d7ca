"""A real Prometheus scrapes the server: the last word on whether the exposition is right."""

import asyncio
import shutil
import socket

import aiohttp
import pytest

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="prometheus is not installed"
)

CONFIG = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: rheostat
    static_configs: [{{targets: ["{target}"]}}]
"""


@pytest.fixture
async def query(server, tmp_path):
    """Ask a Prometheus that has scraped the server at least once."""
    config = tmp_path / "prometheus.yml"
    config.write_text(CONFIG.format(target=server.url.removeprefix("http://")))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address={address}",
        "--log.level=error",
    )
    try:
        async with aiohttp.ClientSession(f"http://{address}") as session:

            async def ask(expression):
                async with session.get("/api/v1/query", params={"query": expression}) as response:
                    answer = await response.json()
                return [
                    (series["metric"], float(series["value"][1]))
                    for series in answer["data"]["result"]
                ]

            async with asyncio.timeout(60):
                while not await _answers(ask, 'up{job="rheostat"} == 1'):
                    await asyncio.sleep(0.2)
            yield ask
    finally:
        process.terminate()
        await process.wait()


async def _answers(ask, expression):
    try:
        return await ask(expression)
    except aiohttp.ClientConnectionError:
        return []


async def test_a_real_prometheus_understands_what_it_scrapes(query):
    learning_rates = await query("rheostat_learning_rate")
    assert {(labels["group"], value) for labels, value in learning_rates} == {
        ("body", 0.05),
        ("head", 0.001),
    }

    [(_, loss)] = await query('rheostat_train_loss{run="digits"}')
    assert loss == 0.1 + 0.2

    [(phase, _)] = await query("rheostat_run_phase == 1")
    assert phase["phase"] == "running"

    [(_, count)] = await query('rheostat_step_duration_seconds_bucket{le="+Inf"}')
    assert count == 4

    assert await query('{__name__=~"rheostat_.*_created"}') == []
