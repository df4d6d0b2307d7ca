"""The image runs as a cluster runs it: no root, read-only, no capabilities, no new privileges."""

import json

from rheostat.client import Client
from rheostat.steering.records import Change, Verb

DIGITS = {
    "name": "digits",
    "model": {"name": "mlp", "args": {"hidden": [32]}},
    "data": {"name": "digits"},
    "optimizer": {"name": "AdamW", "lr": 1e-3},
    "train": {"steps": 10**7, "device": "cpu"},
}
# As /proc/net/tcp writes them.
LOOPBACK = "0100007F"
MAPPED = "0000000000000000FFFF0000"
LISTEN = "0A"


def test_it_has_no_rights_that_it_does_not_need(container):
    status = dict(
        line.split(":\t", 1)
        for line in container.execute("cat", "/proc/1/status").splitlines()
        if ":\t" in line
    )
    assert status["Uid"].split() == ["10001"] * 4
    assert status["Gid"].split() == ["10001"] * 4
    assert {int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == {0}
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"


def test_tini_is_process_one(container):
    assert container.execute("cat", "/proc/1/comm") == "tini"


def test_only_tmp_and_the_state_can_be_written(container):
    script = "for folder; do touch $folder/new && echo $folder; done; true"
    folders = ("/", "/opt", "/data", "/usr", "/run", "/var/lib/rheostat", "/tmp")
    written = container.execute("sh", "-c", script, "sh", *folders)
    assert written.splitlines() == ["/var/lib/rheostat", "/tmp"]


def test_the_health_port_answers_probes_and_nothing_else(container, get_status):
    url = f"http://{container.health_address}"
    assert get_status(f"{url}/healthz") == 200
    assert get_status(f"{url}/readyz") == 200
    assert get_status(f"{url}/metrics") == 404


def test_its_own_healthcheck_passes(container):
    container.check_health()


def test_grpc_health_is_serving(container, buf_curl):
    answer = buf_curl(container.address, "grpc.health.v1.Health/Check", {"service": ""})
    assert answer == {"status": "SERVING"}


def test_its_logs_are_json(container):
    assert "daemon.ready" in {event["event"] for event in container.events}


def test_without_options_it_listens_on_the_loopback_only(start_alone):
    container = start_alone()
    container.check_health()
    sockets = container.execute("sh", "-c", "tail -qn +2 /proc/net/tcp /proc/net/tcp6")
    listening = {
        local.removeprefix(MAPPED)
        for _, local, _, state, *_ in map(str.split, sockets.splitlines())
        if state == LISTEN
    }
    assert listening == {f"{LOOPBACK}:{port:04X}" for port in (50051, 9464, 9465)}


def test_sigterm_ends_an_idle_daemon_cleanly(start_alone):
    container = start_alone()
    assert container.stop() == 0
    assert container.events[-1]["event"] == "daemon.stopped"


def test_a_run_trains_obeys_from_outside_and_ends_with_sigterm(trainer, buf_curl):
    with Client(trainer.address, principal="tester@outside") as client:
        client.create_run(json.dumps(DIGITS))
        wait_for_a_step(client, "digits")
        scale = Change(verb=Verb.SCALE, value=0.5)
        change = client.change_learning_rate("digits", scale).decision
    [group] = change.groups
    assert group.new == group.old * 0.5 == 0.0005

    method = "rheostat.v1.LearningRates/GetLearningRates"
    [shown] = buf_curl(trainer.address, method, {"run": "digits"})["groups"]
    assert shown["learningRate"] == 0.0005

    assert trainer.stop() == 0
    assert trainer.events[-1]["event"] == "daemon.stopped"


def wait_for_a_step(client, run):
    for event in client.watch_run(run):
        assert event.view is None or not event.view.phase.is_final, event.view.failure
        if event.snapshot is not None and event.snapshot.step > 0:
            return
