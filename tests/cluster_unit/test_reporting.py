"""How often the API server is told what it is told."""

import asyncio

import msgspec
import pytest

from rheostat.cluster import reporting
from rheostat.cluster.controller import Controller
from rheostat.steering.records import Verb

EVENTS = "/api/v1/namespaces/ml/events"


@pytest.fixture
async def training(server, runs, api, monkeypatch):
    """The TrainingRun `digits` trains, and is reported on every 300 ms at most."""
    monkeypatch.setattr(reporting, "REPORT_SECONDS", 0.3)
    controller = Controller(runs, api, daemon="me")
    controller.start()
    server.create()
    await server.until(lambda: "digits" in runs.views)
    runs.begin()
    await server.until(lambda: server.status().get("phase") == "running")
    yield
    await controller.stop()


def see_step(runs, step):
    snapshot = msgspec.structs.replace(runs.views["digits"].snapshot, step=step)
    runs.tell(snapshot=snapshot)


async def test_however_fast_the_steps_a_run_is_reported_at_a_bounded_pace(server, runs, training):
    loop = asyncio.get_running_loop()
    began_at, before = loop.time(), server.count("PATCH")
    for step in range(100):
        see_step(runs, step)
        runs.decide(source="policy:plateau", value=0.5)
        await asyncio.sleep(0.01)
    reports = (loop.time() - began_at) / 0.3 + 1

    assert server.count("PATCH") - before <= reports
    assert server.count("PATCH", EVENTS) + server.count("POST", EVENTS) <= reports + 2
    await server.until(lambda: server.status().get("lastDecision", {}).get("revision") == 100)


async def test_what_has_not_changed_is_not_told(server, runs, training):
    see_step(runs, 5)
    await server.until(lambda: server.status().get("step") == 5)
    before = server.count("PATCH")

    await asyncio.sleep(0.7)

    assert server.count("PATCH") == before


async def test_an_event_that_the_api_server_has_forgotten_is_told_again(server, runs, training):
    runs.decide(verb=Verb.SCALE, value=0.5, principal="ada")
    await server.until(lambda: len(server.events) >= 2)
    server.events.clear()
    runs.decide(verb=Verb.SCALE, value=0.5, principal="ada")

    [event] = await server.until(lambda: list(server.events.values()))

    assert (event["reason"], event["count"]) == ("LearningRateChanged", 2)
