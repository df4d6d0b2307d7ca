"""The main job: an LR is halved while the model trains, and everybody sees the same half."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from rheostat.client import Client
from rheostat.runs import audit

STEPS = 3000
SCHEDULES = {
    "constant": {},
    "warmup_cosine": {"warmup_steps": 700, "min_lr": 1e-5},
    "StepLR": {"step_size": 900, "gamma": 0.3},
    "OneCycleLR": {"pct_start": 0.4},
}


@contextmanager
def watched(run):
    """Watch a run beside the test; the future has every event once the run has ended."""
    with Client(run.daemon.address) as client, ThreadPoolExecutor(1) as threads:
        watching = client.watch_run(run.name)
        first = next(watching)  # or it might begin after what it is to see
        yield threads.submit(lambda: [first, *watching])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_halved_learning_rate_stays_half_of_its_schedule(
    daemon, planned, spec_file, tmp_path, schedule
):
    sections = {
        "schedule": {"name": schedule, "args": SCHEDULES[schedule]},
        "train": {"steps": STEPS},
    }
    curve, momenta = planned(spec_file(**sections), STEPS + 1)
    curve = curve["default"]

    with daemon.training(**sections) as run, watched(run) as events:
        decision = run.change("scale", 0.5, reason="too noisy")
        first = decision.applied_step
        exported = daemon.metric("rheostat_learning_rate", run=run.name, group="default")
        component = daemon.metric(
            "rheostat_learning_rate_component", run=run.name, component="operator"
        )
        assert run.end().phase == "succeeded"

    assert 0 < first < STEPS
    [change] = decision.groups
    assert (change.new, change.base, change.operator) == (curve[first] * 0.5, curve[first], 0.5)
    assert change.old == curve[first - 1]

    rows = run.export(tmp_path / "run.csv")
    rates = [float(row["learning_rate.default"]) for row in rows]
    assert rates[:first] == curve[:first], "untouched before"
    assert rates[first:] == [rate * 0.5 for rate in curve[first:STEPS]], "half from then on"
    if momenta:
        written = [float(row["momentum.default"]) for row in rows]
        assert written == momenta["default"][:STEPS], "and nobody touched the momentum"

    assert exported in rates[first:]
    assert component == 0.5

    snapshots = [event.snapshot for event in events.result() if event.snapshot]
    assert {snapshot.revision for snapshot in snapshots} - {0} == {1}, "a late watcher misses some"
    for snapshot in snapshots:
        if snapshot.step < STEPS:
            [group] = snapshot.groups
            factor = 0.5 if snapshot.revision else 1.0
            assert group.learning_rate == curve[snapshot.step] * factor
    assert [event.decision for event in events.result() if event.decision] == [decision]


def test_a_second_terminal_halves_and_sees_it_and_the_history_says_who_when_and_why(daemon):
    with daemon.training(schedule={"name": "StepLR", "args": {"step_size": 10**6}}) as run:
        before = run.step
        changed = daemon.json("lr", "scale", run.name, "0.5", "--reason", "too noisy")
        shown = daemon.json("lr", "show", run.name)
        listed = daemon.json("runs", "list")
        explained = daemon.rheostat("lr", "explain", run.name, check=True).stdout
        history = daemon.json("lr", "history", run.name)

    assert changed["revision"] == 1
    assert changed["applied_step"] > before
    assert changed["groups"] == [{"name": "default", "old": 1e-3, "new": 5e-4}]
    assert changed["guardrails"] == []

    assert shown["step"] >= changed["applied_step"]
    [group] = shown["groups"]
    assert (group["learning_rate"], group["base"], group["operator"]) == (5e-4, 1e-3, 0.5)
    assert listed[-1]["learning_rate"] == {"default": 5e-4}
    assert "too noisy" in explained

    [record] = history
    assert record["principal"]
    assert (record["source"], record["verb"], record["value"]) == ("operator", "scale", 0.5)
    assert record["reason"] == "too noisy"
    assert record["applied_step"] == changed["applied_step"]
    assert run.view.started_at < record["time"] < run.view.finished_at
    audit.verify(run.history)
