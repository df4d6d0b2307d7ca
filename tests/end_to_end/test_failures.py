"""A trainer that dies, whatever of, fails its own run with a reason and nothing else."""

import os
import signal

from rheostat.runs.records import Phase


def test_a_model_that_cannot_be_built_fails_its_run_with_the_traceback(daemon):
    run = daemon.create(model={"name": "faulty:model_that_raises", "args": {}})

    failure = run.end().failure

    assert failure.message == "RuntimeError: the weights are from another model"
    assert 'faulty.py", line' in failure.traceback
    shown = daemon.rheostat("runs", "show", run.name, check=True)
    assert "the weights are from another model" in shown.stdout + shown.stderr


def test_a_trainer_that_vanishes_fails_its_run_with_the_end_of_its_output(daemon):
    failure = daemon.create(model={"name": "faulty:model_that_vanishes", "args": {}}).end().failure

    assert "exited with 7" in failure.message
    assert "these are my last words" in failure.traceback


def test_a_killed_trainer_that_gets_no_successor_fails_its_run_keeps_its_steps_and_makes_room(
    start_daemon, tmp_path
):
    daemon = start_daemon("--max-restarts", "0")
    with daemon.training() as run:
        run.advance()
        waiting = daemon.create(train={"steps": 1})
        os.kill(run.view.pid, signal.SIGKILL)
        view = run.reach(Phase.FAILED)

    assert waiting.end().phase == "succeeded"
    assert "was killed by SIGKILL" in view.failure.message
    steps = [int(row["step"]) for row in run.export(tmp_path / "run.csv")]
    assert len(steps) >= 100
    assert steps == list(range(len(steps)))


def test_a_halted_trainer_holds_nobody_up_and_is_told_of(daemon, wait_until):
    with daemon.training() as run:
        os.kill(run.view.pid, signal.SIGSTOP)
        try:
            wait_until(lambda: run.view.events, "it is told of")
            assert daemon.json("runs", "list")
        finally:
            os.kill(run.view.pid, signal.SIGCONT)
        run.advance(1)

    [event] = run.view.events
    assert (event.kind, f"kill -CONT {event.message.split()[-1]}") == (
        "halted",
        event.message.partition(": ")[2],
    )


def test_a_loss_that_is_not_finite_stops_the_run_before_the_update(daemon, spec_file):
    data = {"name": "faulty:data_with_infinity", "batch_size": 8, "validation": 0.25}

    done = daemon.spawn("run", spec_file(data=data, name="infinite"))

    assert done.returncode == 1
    assert "the loss is nan at step" in done.stderr
    view = daemon.client.get_run("infinite")
    assert view.phase == "failed"
    assert view.failure.message.startswith("NonFiniteLoss")


def test_a_mistake_that_only_torch_can_see_is_named_with_its_field(daemon, spec_file):
    spec = spec_file(optimizer={"args": {"betaz": [0.9, 0.99]}}, name="misspelt")

    done = daemon.spawn("run", spec)

    assert done.returncode == 2
    assert "optimizer.args.betaz" in done.stderr
    [violation] = daemon.client.get_run("misspelt").failure.violations
    assert violation.field == "optimizer.args.betaz"
