"""A run that went astray is taken back, and ends as the one that did not."""

import json
import os
import signal

from rheostat.runs.records import Phase

STEPS = 600
SPEC = {
    "model": {"name": "mlp", "args": {"hidden": [128, 128]}},
    "data": {"batch_size": 128},
    "train": {"steps": STEPS},
    "evaluate": {"every": 100},
    "checkpoint": {"every_seconds": 0, "keep": 10},
}
TIMED = ("duration_seconds", "validation_loss", "validation_accuracy")


def numbers(run, folder):
    return [
        {name: value for name, value in row.items() if name not in TIMED}
        for row in run.export(folder / "run.csv")
    ]


def test_a_run_that_is_taken_back_and_killed_right_then_ends_as_if_nothing_had_been(
    start_daemon, tmp_path, wait_until
):
    daemon = start_daemon()
    client = daemon.client
    straight = daemon.create(name="straight", **SPEC)
    assert straight.end().phase is Phase.SUCCEEDED
    run = daemon.create(name="astray", **SPEC)
    run.reach(Phase.RUNNING)
    good = client.save_checkpoint("astray", pin=True).step
    run.change("scale", 300.0)
    run.advance(50)
    bad = client.save_checkpoint("astray").step
    client.pause_run("astray")
    reached = run.step

    would = daemon.json("checkpoint", "rollback", "astray", "--back", reached - good, "--dry-run")
    assert (would["step"], would["decision"]) == (good, None)
    back = ("checkpoint", "rollback", "astray", "--step", good, "--reason", "it diverged")
    said = daemon.rheostat(*back, "--request-id", "once", check=True).stdout
    assert f"rollback from step {reached} to {good}" in said
    assert "it diverged" in said
    os.kill(run.view.pid, signal.SIGKILL)
    again = json.loads(daemon.rheostat(*back, "--request-id", "once", "--json").stdout)
    assert again["decision"]["revision"] == 2
    wait_until(lambda: run.view.attempt == 2 and run.view.phase is Phase.PAUSED, "a successor")
    assert run.step == good
    client.resume_run("astray")

    assert run.end().phase is Phase.SUCCEEDED
    assert numbers(run, tmp_path) == [
        row | {"revision": "2"} if "revision" in row and int(row["step"]) >= good else row
        for row in numbers(straight, tmp_path)
    ]
    assert [one.decision.source for one in run.history] == ["operator", "rollback"]
    assert "rolled_back" in [event.kind for event in run.view.events]
    undone = [one for one in client.list_checkpoints("astray") if one.undone_by is not None]
    assert {one.undone_by for one in undone} == {2}
    assert bad in {one.step for one in undone}
    labels = {"run": "astray", "source": "rollback"}
    assert daemon.metric("rheostat_learning_rate_changes_total", **labels) == 1
    shown = daemon.rheostat("runs", "export", "astray", tmp_path / "undone.csv", "--undone", 2)
    assert shown.returncode == 0, shown.stderr
    steps = [line.split(",")[0] for line in (tmp_path / "undone.csv").read_text().splitlines()]
    assert steps[1:] == [str(step) for step in range(good, reached)]
    done = daemon.rheostat("replay", "astray")
    assert (done.returncode, done.stdout) == (0, f"identical: {STEPS} steps\n"), done.stderr
