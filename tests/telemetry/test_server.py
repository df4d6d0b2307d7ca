import asyncio
import shutil

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from rheostat.errors import RheostatError
from rheostat.telemetry.metrics import METRICS
from rheostat.telemetry.server import TelemetryServer

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def samples_of(families):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


async def test_metrics_are_prometheus_text_by_default(server, http):
    async with http.get(f"{server.url}/metrics") as response:
        samples = samples_of(parse_text(await response.text()))

    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert samples["rheostat_train_loss", ("run", "digits")] == 0.1 + 0.2


async def test_the_process_of_the_daemon_is_told_of_too(server, http):
    async with http.get(f"{server.url}/metrics") as response:
        samples = samples_of(parse_text(await response.text()))

    assert samples["process_resident_memory_bytes",] > 2**20
    assert samples["process_open_fds",] < samples["process_max_fds",]


async def test_metrics_are_openmetrics_for_who_asks(server, http):
    async with http.get(f"{server.url}/metrics", headers={"Accept": OPENMETRICS}) as response:
        text = await response.text()

    assert response.headers["Content-Type"].startswith("application/openmetrics-text")
    families = {family.name: family for family in parse_openmetrics(text)}
    assert families["rheostat_step_duration_seconds"].unit == "seconds"
    assert samples_of(families.values())["rheostat_steps_total", ("run", "digits")] == 40


async def test_both_formats_say_the_same_and_nothing_of_creation_times(server, http):
    said = []
    for accept, parse in ((OPENMETRICS, parse_openmetrics), ("text/plain", parse_text)):
        async with http.get(f"{server.url}/metrics", headers={"Accept": accept}) as response:
            samples = samples_of(parse(await response.text()))
        assert not any(name.endswith("_created") for name, *_ in samples)
        # The process itself moves between two scrapes.
        said.append({key: samples[key] for key in samples if key[0].startswith("rheostat_")})

    assert said[0] == said[1]


async def test_each_scrape_tells_the_present_state(server, source, http):
    source.runs.clear()

    async with http.get(f"{server.url}/metrics") as response:
        text = await response.text()

    assert 'run="digits"' not in text
    assert all(f"# HELP {metric.name} " in text for metric in METRICS)


async def test_metrics_are_compressed_for_who_accepts_it(server, http):
    async with http.get(f"{server.url}/metrics", headers={"Accept-Encoding": "gzip"}) as response:
        text = await response.text()

    assert response.headers["Content-Encoding"] == "gzip"
    assert "rheostat_build_info" in text


async def test_one_metric_can_be_asked_for(server, http):
    async with http.get(f"{server.url}/metrics?name[]=rheostat_train_loss") as response:
        families = list(parse_text(await response.text()))

    assert [family.name for family in families] == ["rheostat_train_loss"]


async def test_healthz_answers_whether_ready_or_not(server, http):
    server.is_ready = False

    async with http.get(f"{server.url}/healthz") as response:
        assert response.status == 200


@pytest.mark.parametrize(("is_ready", "status"), [(True, 200), (False, 503)])
async def test_readyz_asks_the_daemon(server, http, is_ready, status):
    server.is_ready = is_ready

    async with http.get(f"{server.url}/readyz") as response:
        assert response.status == status


async def test_the_front_page_lists_the_others(server, http):
    async with http.get(server.url) as response:
        text = await response.text()

    assert response.content_type == "text/plain"
    assert all(path in text for path in ("/metrics", "/healthz", "/readyz"))


async def test_a_port_in_use_is_named_with_the_mend(server, source):
    taken = server.url.removeprefix("http://")
    second = TelemetryServer(source, address=taken, is_ready=lambda: True, version="1.2.3")

    with pytest.raises(RheostatError, match=f"{taken} is in use: .* choose another"):
        await second.start()


@pytest.mark.parametrize("address", ["127.0.0.1", ":9464", "127.0.0.1:x", "127.0.0.1:65536", ""])
async def test_a_malformed_address_is_refused(source, address):
    server = TelemetryServer(source, address=address, is_ready=lambda: True, version="1.2.3")

    with pytest.raises(RheostatError, match="expected host:port"):
        await server.start()


async def test_an_address_of_another_machine_is_refused(source):
    server = TelemetryServer(source, address="192.0.2.1:0", is_ready=lambda: True, version="1.2.3")

    with pytest.raises(RheostatError, match=r"192\.0\.2\.1:0 cannot be bound"):
        await server.start()


async def test_a_stopped_server_frees_its_port(source):
    first = TelemetryServer(source, address="127.0.0.1:0", is_ready=lambda: True, version="1.2.3")
    bound = await first.start()
    await first.stop()
    second = TelemetryServer(source, address=bound, is_ready=lambda: True, version="1.2.3")

    assert await second.start() == bound
    await second.stop()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
async def test_promtool_finds_nothing_to_say(server, http):
    async with http.get(f"{server.url}/metrics") as response:
        page = await response.read()

    promtool = await asyncio.create_subprocess_exec(
        "promtool",
        "check",
        "metrics",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await promtool.communicate(page)

    assert (promtool.returncode, said) == (0, b"")


@pytest.mark.parametrize("is_insecure", [True, False])
async def test_a_daemon_open_to_strangers_says_so(source, http, is_insecure):
    server = TelemetryServer(
        source,
        address="127.0.0.1:0",
        is_ready=lambda: True,
        version="1.2.3",
        is_insecure=is_insecure,
    )
    async with http.get(f"http://{await server.start()}/metrics") as answer:
        text = await answer.text()
    await server.stop()

    assert f"rheostat_insecure {float(is_insecure)}" in text
