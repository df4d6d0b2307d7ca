"""Resources that stand for scripts which are attached: found, shown, steered, and never ended."""

import pytest

from rheostat.cluster import caretaker, watching
from rheostat.cluster.controller import Controller
from rheostat.runs.records import Phase
from rheostat.steering.records import Verb

BASE = 0.001

pytestmark = pytest.mark.usefixtures("prompt_reports")


@pytest.fixture(autouse=True)
async def controller(runs, connect, monkeypatch):
    monkeypatch.setattr(watching, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(caretaker, "RETRY_SECONDS", 0.05)
    controller = Controller(runs, connect(), daemon="me")
    controller.start()
    yield controller
    await controller.stop()


def declare(server, name="mine", **spec):
    """Create a TrainingRun that has nothing to train."""
    server.create(name, attached=True, **spec)


def condition(server, kind, name="mine"):
    found = server.status(name).get("conditions", ())
    return next((one for one in found if one["type"] == kind), {})


async def test_a_resource_waits_for_its_script_and_then_shows_it(server, runs):
    declare(server)
    await server.until(lambda: server.status("mine").get("phase") == "waiting")
    assert "no script is attached as mine" in condition(server, "Accepted")["message"]

    runs.attach()
    status = await server.until(
        lambda: found if (found := server.status("mine")).get("phase") == "running" else None
    )

    assert runs.asked == [], "nothing is created"
    assert (status["run"], status["learningRate"]) == ("mine", {"default": BASE})
    assert condition(server, "Accepted")["reason"] == "Attached"
    assert condition(server, "Drifted")["reason"] == "AsDeclared"


async def test_a_fork_that_waits_for_its_script_is_not_said_to_have_one(server, runs):
    runs.attach()
    runs.tell("mine", phase=Phase.QUEUED)
    declare(server)
    await server.until(lambda: server.status("mine").get("phase") == "queued")
    assert "no script is attached as mine" in condition(server, "Accepted")["message"]

    runs.tell("mine", phase=Phase.RUNNING)
    await server.until(lambda: condition(server, "Accepted").get("reason") == "Attached")


async def test_a_declared_lr_is_that_of_the_script_and_drift_is_shown(server, runs):
    runs.attach()
    declare(server, learningRate={"scale": 0.5})
    await server.until(lambda: condition(server, "LearningRateApplied").get("reason") == "Applied")
    assert runs.views["mine"].snapshot.groups[0].operator == 0.5

    runs.decide("mine", verb=Verb.SCALE, value=0.1, principal="ada")
    await server.until(lambda: condition(server, "Drifted").get("status") == "True")


async def test_a_script_goes_on_when_its_resource_is_deleted(server, runs):
    runs.attach()
    declare(server)
    await server.until(lambda: server.status("mine").get("phase") == "running")
    server.delete("mine")

    assert "mine" not in server.resources, "nothing holds it"
    assert runs.views["mine"].phase is Phase.RUNNING
    assert runs.asked == []


async def test_a_script_that_comes_back_is_followed_again(server, runs):
    runs.attach()
    declare(server)
    await server.until(lambda: server.status("mine").get("phase") == "running")
    runs.decide("mine", verb=Verb.SCALE, value=0.1, principal="ada")
    runs.tell("mine", phase=Phase.FAILED)
    await server.until(lambda: server.status("mine").get("phase") == "failed")

    runs.attach(attempt=2)
    await server.until(lambda: server.status("mine").get("phase") == "running")
    runs.tell("mine", phase=Phase.SUCCEEDED)

    await server.until(lambda: server.status("mine").get("phase") == "succeeded")
    changes = [one for one in server.events.values() if one["reason"] == "LearningRateChanged"]
    assert len(changes) == 1, "what was told before is no news"


async def test_a_run_of_a_spec_is_no_script_and_a_script_brings_its_own_spec(server, runs):
    await runs.create_run("{name: digits, train: {steps: 5}}", principal="ada")
    runs.begin("digits")
    declare(server, "digits")
    await server.until(lambda: condition(server, "Accepted", "digits").get("status") == "False")
    assert "is trained from a spec" in condition(server, "Accepted", "digits")["message"]

    server.create("both", attached=True, run={"train": {"steps": 5}})
    await server.until(lambda: server.status("both").get("phase") == "refused")
    assert "spec.run: nothing" in condition(server, "Accepted", "both")["message"]
