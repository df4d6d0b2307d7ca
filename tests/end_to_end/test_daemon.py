"""The daemon's manners: how it starts, what it refuses, how it ends, and how it dies."""

import json
import signal
from pathlib import Path

import pytest


def test_the_daemon_never_loads_torch(daemon):
    mapped = Path(f"/proc/{daemon.pid}/maps").read_text()

    assert "grpc" in mapped
    assert "torch" not in mapped


def test_a_ready_daemon_says_so_and_logs_one_json_object_per_event(daemon):
    assert daemon.get("/healthz") == "alive\n"
    assert daemon.get("/readyz") == "ready\n"
    [ready] = [event for event in daemon.events if event["event"] == "daemon.ready"]
    assert ready["address"] == daemon.address
    assert ready["metrics"] == f"http://{daemon.metrics_address}/metrics"


def test_sigterm_puts_the_run_by_in_order_and_the_next_daemon_goes_on_with_it(
    start_daemon, rheostat, is_alive, tmp_path
):
    daemon = start_daemon()
    with daemon.training() as run:
        run.advance()
        waiting = daemon.create(train={"steps": 1})
        trainer = run.view.pid
        watching = daemon.client.watch_run(run.name)
        next(watching)
        daemon.process.send_signal(signal.SIGTERM)
        told = [event.view.phase for event in watching if event.view]
        assert daemon.process.wait(60) == 0
        assert not is_alive(trainer)
        assert not (daemon.state_dir / "daemon.json").exists()
        assert not (daemon.state_dir / "link").exists()
        in_between = json.loads(rheostat("runs", "list", "--json").stdout)
        run.daemon = waiting.daemon = daemon = start_daemon()
        run.reach("running")
        went_on_at = run.daemon.client.list_checkpoints(run.name)[-1].step
        run.advance(1)

    assert told[-1] == "queued", "a watcher saw what became of it"
    assert [run["phase"] for run in in_between] == ["queued", "queued"], "looking starts nothing"
    assert in_between[0]["step"] == went_on_at
    view = run.view
    assert view.attempt == 2
    assert view.result.steps == len(run.export(tmp_path / "run.csv")) > went_on_at
    assert waiting.end().phase == "succeeded", "who waits in the queue waits through a restart"


def test_a_second_daemon_on_one_state_directory_is_refused(daemon):
    done = daemon.spawn("serve", "--address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0")

    assert done.returncode == 1
    assert daemon.address in done.stderr, "it says where the first one answers"
    assert daemon.process.poll() is None


@pytest.mark.parametrize("option", ["--address", "--metrics-address"])
def test_an_address_that_strangers_can_call_is_refused(rheostat, option):
    done = rheostat("serve", option, "0.0.0.0:0")

    assert done.returncode == 2
    assert "0.0.0.0:0: a loopback address" in done.stderr


def test_a_busy_port_is_refused_by_its_name(daemon, rheostat):
    done = rheostat("serve", "--address", daemon.address, "--metrics-address", "127.0.0.1:0")

    assert done.returncode == 1
    assert daemon.address in done.stderr


def test_an_address_where_nobody_answers_gives_exit_code_3(rheostat):
    done = rheostat("runs", "list", "--address", "127.0.0.1:1")

    assert done.returncode == 3
    assert "no daemon answers at 127.0.0.1:1" in done.stderr


def test_a_detached_run_needs_a_daemon_that_outlives_the_command(rheostat, spec_file):
    done = rheostat("run", spec_file(), "--detach")

    assert done.returncode == 3
    assert "rheostat serve" in done.stderr
