"""A run's life at the hands of an operator: paused, resumed, stopped, deleted, queued."""

import math
from pathlib import Path

import pytest

from rheostat.errors import FailedPrecondition, InvalidRequest, NotFound


def test_a_paused_run_can_be_stopped_validated_and_saved_and_then_it_is_over(daemon, tmp_path):
    with daemon.training() as run:
        daemon.client.pause_run(run.name)
        refused = daemon.rheostat("runs", "delete", run.name)
        view = run.stop()

    assert refused.returncode == 1
    assert "stop it before you delete it" in refused.stderr
    assert view.phase == "stopped"
    assert view.result.steps == len(run.export(tmp_path / "run.csv"))
    assert 0 < view.result.validation_accuracy <= 1
    assert Path(view.result.weights).is_relative_to(daemon.state_dir / "runs" / run.name)
    for ask in (lambda: daemon.client.stop_run(run.name), lambda: run.change("scale", 0.5)):
        with pytest.raises(FailedPrecondition, match="it has ended"):
            ask()

    assert daemon.rheostat("runs", "delete", run.name).returncode == 0
    assert not Path(view.result.weights).exists()
    assert run.name not in daemon.get("/metrics")
    with pytest.raises(NotFound):
        daemon.client.get_run(run.name)


def test_nonsense_does_no_harm_to_a_run_which_trains_to_its_planned_end(daemon):
    with daemon.training(train={"steps": 3000}) as run:
        for value in (math.nan, math.inf, -1.0):
            with pytest.raises(InvalidRequest):
                run.change("set", value)
        clamped = run.change("set", 1e9)
        run.change("release")
        view = run.end()

    assert clamped.guardrails == ("max_lr",)
    assert (view.phase, view.result.steps) == ("succeeded", 3000)


def test_runs_train_one_at_a_time_in_the_order_they_came(daemon):
    first, forgotten, last = [daemon.create(train={"steps": 5}) for _ in range(3)]
    stopped = daemon.client.stop_run(forgotten.name)
    before, after = first.end(), last.end()

    assert (stopped.phase, stopped.started_at, stopped.result) == ("stopped", None, None)
    assert (before.phase, after.phase) == ("succeeded", "succeeded")
    assert before.started_at < before.finished_at <= after.started_at < after.finished_at


@pytest.fixture(scope="module")
def run(daemon):
    """A run that trains from here to the end of the file, in the one place that there is."""
    with daemon.training() as run:
        yield run


def test_a_paused_run_stands_still_takes_changes_and_goes_on_with_them(daemon, run, tmp_path):
    paused = daemon.client.pause_run(run.name)
    step = run.step
    decision = run.change("scale", 0.5)
    shown = daemon.client.explain(run.name)
    exported = daemon.metric("rheostat_learning_rate", run=run.name)
    still_at = run.step
    resumed = daemon.client.resume_run(run.name)
    run.advance()
    rows = run.export(tmp_path / "run.csv")

    assert (paused.phase, resumed.phase) == ("paused", "running")
    assert still_at == step == decision.applied_step, "it acts on the very next step"
    assert (shown.step, shown.groups[0].learning_rate, exported) == (step, 5e-4, 5e-4)
    assert float(rows[step - 1]["learning_rate.default"]) == 1e-3
    assert float(rows[step]["learning_rate.default"]) == 5e-4


def test_pausing_and_resuming_from_the_terminal_says_what_became_of_the_run(daemon, run):
    paused = daemon.rheostat("runs", "pause", run.name, check=True).stdout
    again = daemon.rheostat("runs", "pause", run.name, check=True).stdout
    resumed = daemon.rheostat("runs", "resume", run.name, check=True).stdout
    run.advance()

    assert paused.startswith(f"{run.name} is paused before step ")
    assert again == paused, "a paused run stays where it is"
    assert resumed == f"{run.name} is running.\n"


def test_a_run_resumed_while_it_still_stops_goes_on_when_it_has(daemon, run):
    attempt = run.view.attempt
    stopping = daemon.client.stop_run(run.name)
    resumed = daemon.client.resume_run(run.name)
    run.advance()

    assert (stopping.phase, resumed.phase) == ("stopping", "starting")
    assert run.view.attempt == attempt + 1
