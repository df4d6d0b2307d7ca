"""An API server that goes away while a run trains, and comes back."""

import pytest

from rheostat.steering.records import Change, Verb


@pytest.fixture
def outage(cluster):
    """Take the API server away; it is back at the end of the test, whatever happens."""
    is_away = []

    def begin():
        is_away.append(True)
        cluster.stop()

    def end():
        if is_away:
            cluster.start()
            is_away.clear()

    begin.end = end
    yield begin
    end()


def test_training_goes_on_and_is_told_when_the_api_server_is_back(
    start_daemon, apply, outage, eventually
):
    daemon = start_daemon()
    digits = apply("steadfast")
    digits.until_phase("running")

    outage()
    before = daemon.steps_of("steadfast")
    daemon.client.change_learning_rate("steadfast", Change(verb=Verb.SCALE, value=0.5))
    eventually(lambda: daemon.steps_of("steadfast") > before + 100, "100 steps are trained")
    outage.end()

    drift = digits.until(lambda status: status.get("drift"))
    assert drift["principal"] == "ada@terminal"
    assert digits.status["step"] > before

    digits.patch(learningRate={"scale": 0.25})
    digits.until(lambda status: status.get("acted", {}).get("generation") == 2)


def test_a_daemon_that_finds_no_api_server_starts_and_waits_for_it(
    start_daemon, apply, outage, eventually
):
    patient = apply("patient", daemon="late")
    outage()

    daemon = start_daemon("late")
    assert daemon.client.list_runs() == []
    outage.end()

    eventually(lambda: daemon.client.list_runs(), "the resource is found")
    patient.until_phase("running")
