"""A run's life at the hands of an operator: paused, resumed, stopped, deleted, queued."""

import math
from itertools import pairwise

import pytest

from rheostat.errors import FailedPrecondition, InvalidRequest, NotFound


def test_a_paused_run_stands_still_takes_changes_and_goes_on_with_them(daemon, tmp_path):
    with daemon.training() as run:
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


def test_pausing_and_resuming_from_the_terminal_says_what_became_of_the_run(daemon):
    with daemon.training() as run:
        paused = daemon.rheostat("runs", "pause", run.name, check=True).stdout
        again = daemon.rheostat("runs", "pause", run.name, check=True).stdout
        resumed = daemon.rheostat("runs", "resume", run.name, check=True).stdout
        run.advance()

    assert paused.startswith(f"{run.name} is paused before step ")
    assert again == paused, "a paused run stays where it is"
    assert resumed == f"{run.name} is running.\n"


def test_a_stopped_run_is_validated_and_saved_and_a_paused_one_can_be_stopped(daemon, tmp_path):
    with daemon.training() as run:
        daemon.client.pause_run(run.name)
        view = run.stop()

    assert view.phase == "stopped"
    assert view.result.steps == len(run.export(tmp_path / "run.csv"))
    assert 0 < view.result.validation_accuracy <= 1
    with pytest.raises(FailedPrecondition, match="it has ended"):
        daemon.client.stop_run(run.name)
    with pytest.raises(FailedPrecondition, match="it has ended"):
        run.change("scale", 0.5)


def test_only_a_run_that_has_ended_can_be_deleted_and_then_it_is_gone(daemon, tmp_path):
    with daemon.training() as run:
        refused = daemon.rheostat("runs", "delete", run.name)
    weights = run.view.result.weights
    deleted = daemon.rheostat("runs", "delete", run.name)

    assert refused.returncode == 1
    assert "stop it before you delete it" in refused.stderr
    assert deleted.returncode == 0
    assert not (daemon.state_dir / "runs" / run.name).exists()
    assert weights.startswith(str(daemon.state_dir / "runs" / run.name))
    with pytest.raises(NotFound):
        daemon.client.get_run(run.name)
    assert run.name not in daemon.get("/metrics")


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
    first, forgotten, *others = [daemon.create(train={"steps": 5}) for _ in range(4)]
    views = [daemon.client.stop_run(forgotten.name)]
    views += [run.end() for run in (first, *others)]

    stopped, *trained = views
    assert (stopped.phase, stopped.started_at, stopped.result) == ("stopped", None, None)
    assert [view.phase for view in trained] == ["succeeded"] * 3
    for before, after in pairwise(trained):
        assert before.started_at < before.finished_at <= after.started_at
