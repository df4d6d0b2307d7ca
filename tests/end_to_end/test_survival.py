"""Daemons and trainers that are killed, stopped and put by: the run ends as if nothing had been."""

import json
import math
import os
import signal
import time

import pytest

from rheostat.trainer.link import RECONNECT_SECONDS

STEPS, EVERY = 500, 100
CHANGES = ((200, 0.5), (400, 0.25))
"""What operators ask for right at the start: at which step to scale the LR, and by how much."""
SPEC = {
    "model": {"name": "mlp", "args": {"hidden": [128, 128]}},
    "data": {"batch_size": 128},
    "policies": [{"name": "plateau", "args": {"patience": 2}}],
    "train": {"steps": STEPS},
    "evaluate": {"every": EVERY},
    "checkpoint": {"every": 50},
}


def begin(daemon):
    """Return a run of some seconds that trains and has been asked for all its changes."""
    run = daemon.create(name="long", **SPEC)
    run.reach("running")
    for step, factor in CHANGES:
        run.change("scale", factor, at_step=step, request_id=f"at-{step}", wait=False)
    return run


def told(run, folder):
    """Return everything that a run leaves behind, and that its accidents must not change.

    A run that is stopped is validated then, which shows in that row and nowhere else.
    """
    rows = run.export(folder / "run.csv")
    for row in rows:
        if (int(row["step"]) + 1) % EVERY:
            row["validation_loss"] = row["validation_accuracy"] = ""
    history = [
        (one.decision.revision, one.decision.applied_step, one.decision.source, one.decision.groups)
        for one in run.history
    ]
    return rows, history


@pytest.fixture(scope="module")
def undisturbed(daemon, tmp_path_factory):
    """What the run leaves behind that nothing happens to."""
    run = begin(daemon)
    assert run.end().phase == "succeeded"
    return told(run, tmp_path_factory.mktemp("undisturbed"))


def newest_step(checkpoints):
    return max((int(path.name[5:]) for path in checkpoints.glob("step-*")), default=0)


def kinds(run):
    return [event.kind for event in run.view.events]


def test_a_trainer_trains_on_without_its_daemon_and_the_next_one_takes_it_over(
    start_daemon, undisturbed, wait_until, tmp_path
):
    daemon = start_daemon()
    run = begin(daemon)
    run.advance(50)
    trainer = run.view.pid

    daemon.kill()
    checkpoints = daemon.state_dir / "runs" / "long" / "checkpoints"
    wait_until(lambda: newest_step(checkpoints) >= 250, "it has passed the first change")
    # However long the next daemon takes to start: the run is not to end before.
    os.kill(trainer, signal.SIGSTOP)
    time.sleep(RECONNECT_SECONDS)
    run.daemon = start_daemon()
    os.kill(trainer, signal.SIGCONT)
    adopted = run.reach("running")
    view = run.end()

    assert adopted.pid == trainer
    assert view.attempt == 1
    assert (view.phase, kinds(run)) == ("succeeded", ["adopted"])
    assert told(run, tmp_path) == undisturbed


def test_whoever_only_looks_leaves_a_trainer_alone_whose_daemon_was_killed(
    start_daemon, rheostat, is_alive
):
    daemon = start_daemon()
    with daemon.training() as run:
        trainer = daemon.client.pause_run(run.name).pid
        daemon.kill()
        seen = json.loads(rheostat("runs", "list", "--json").stdout)
        was_alive = is_alive(trainer)
        run.daemon = start_daemon()
        found = run.reach("paused")
        run.daemon.client.resume_run(run.name)
        run.advance(1)

    assert was_alive
    assert [one["phase"] for one in seen] == ["paused"]
    assert (found.pid, found.attempt) == (trainer, 1)


def test_a_run_that_ends_without_a_daemon_leaves_the_next_one_a_letter(
    start_daemon, undisturbed, is_alive, wait_until, tmp_path
):
    daemon = start_daemon()
    run = begin(daemon)
    run.advance(50)
    trainer = run.view.pid

    daemon.kill()
    wait_until(lambda: not is_alive(trainer), "the trainer has ended by itself")
    run.daemon = start_daemon()

    assert run.end().phase == "succeeded"
    assert run.view.attempt == 1
    assert told(run, tmp_path) == undisturbed


def test_a_run_survives_its_trainer_and_then_both_trainer_and_daemon(
    start_daemon, undisturbed, tmp_path
):
    daemon = start_daemon()
    run = begin(daemon)
    run.advance(60)
    os.kill(run.view.pid, signal.SIGKILL)
    run.reach("starting")
    restarted = run.reach("running")
    assert run.daemon.metric("rheostat_trainer_restarts_total", run="long", reason="killed") == 1
    run.advance(100)
    os.kill(run.view.pid, signal.SIGKILL)
    daemon.kill()
    run.daemon = start_daemon()
    view = run.end()

    assert restarted.attempt == 2
    assert (view.phase, view.restarts) == ("succeeded", {"killed": 1, "lost": 1})
    assert told(run, tmp_path) == undisturbed


def test_a_run_goes_on_after_a_drain_and_after_it_was_stopped(
    start_daemon, undisturbed, rheostat, tmp_path
):
    daemon = start_daemon()
    run = begin(daemon)
    run.advance(100)
    assert daemon.terminate() == 0
    run.daemon = start_daemon()
    run.reach("running")
    run.advance(100)
    stopped = run.stop()
    resumed = rheostat("runs", "resume", "long")
    # Whoever waited was refused when the run was stopped, and asks again.
    run.change("scale", CHANGES[1][1], at_step=CHANGES[1][0], request_id="again", wait=False)
    view = run.end()

    assert stopped.phase == "stopped"
    assert resumed.returncode == 0, resumed.stderr
    assert (view.phase, view.attempt, view.restarts) == ("succeeded", 3, {})
    assert kinds(run) == ["suspended"]
    assert told(run, tmp_path) == undisturbed


def test_a_policy_in_lockstep_goes_on_with_the_trainer_that_takes_the_place_of_a_killed_one(
    start_daemon, tmp_path
):
    daemon = start_daemon()
    run = daemon.create(name="long", **SPEC | {"policies": [], "train": {"steps": 300}})
    run.reach("starting")
    kills, asked = [230, 120], []

    def wish(step):
        return 1.0 + 0.3 * math.sin(step / 10)

    with daemon.client.connect_policy("long", "far", mode="lockstep", deadline=60.0) as connection:
        for observation in connection:
            asked.append(observation.step)
            if kills and observation.step >= kills[-1]:
                kills.pop()
                os.kill(run.view.pid, signal.SIGKILL)
                # The answer is meant for somebody who is dead, or for nobody.
            connection.answer(observation, factor=wish(observation.step))
            if observation.step == 298:
                break
    view = run.end()

    assert (view.phase, view.attempt, view.restarts) == ("succeeded", 3, {"killed": 2})
    lr = 1e-3
    rates = [float(row["learning_rate.default"]) for row in run.export(tmp_path / "run.csv")]
    assert rates[asked[0] + 1 :] == [lr * wish(step) for step in range(asked[0], 299)]
    assert list(dict.fromkeys(asked)) == list(range(asked[0], 299)), "none was left out"
    far = [one.decision for one in run.history if one.decision.source == "policy:far"]
    steps = [one.applied_step for one in far if one.wish is not None]
    assert steps == sorted(set(steps)), "none was decided twice"
