"""A run that went astray is taken back, and ends as the one that did not."""

import csv
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


def _rows(file):
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


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
    fork = ("checkpoint", "fork", "astray", "--undone", 2, "--name")
    made = daemon.json(*fork, "excursion")
    assert (made["origin"]["step"], made["origin"]["anew"]) == (reached, [])
    excursion = type(run)(daemon, "excursion")
    assert excursion.end().phase is Phase.SUCCEEDED
    led = [float(row["train_loss"]) for row in excursion.export(tmp_path / "led.csv")]
    undone = [row["train_loss"] for row in _rows(tmp_path / "undone.csv")]
    assert led[good:reached] == [float(loss) for loss in undone]
    refused = daemon.rheostat(*fork[:4], 1, "--name", "none")
    assert refused.returncode == 1
    assert "no good checkpoint that revision 1 has undone" in refused.stderr
    done = daemon.rheostat("replay", "astray")
    assert (done.returncode, done.stdout) == (0, f"identical: {STEPS} steps\n"), done.stderr


def test_a_run_goes_back_to_a_state_in_memory_and_is_killed_right_then(start_daemon, tmp_path):
    daemon = start_daemon()
    client = daemon.client
    straight = daemon.create(name="straight", **SPEC)
    assert straight.end().phase is Phase.SUCCEEDED
    kept = {"checkpoint": {"every_seconds": 0, "snapshots": {"every": 5, "keep": 40}}}
    run = daemon.create(name="astray", **SPEC | kept)
    run.advance(40)
    run.change("scale", 300.0)
    [astray] = [one.decision.applied_step for one in run.history]
    run.advance(30)
    client.pause_run("astray")
    listed = client.list_checkpoints("astray")
    assert {one.step for one in listed if one.in_memory} >= {astray // 5 * 5, run.step // 5 * 5}
    wished = (astray - 1) // 5 * 5

    said = daemon.json("checkpoint", "rollback", "astray", "--step", astray - 1)
    os.kill(run.view.pid, signal.SIGKILL)

    assert said["step"] == wished
    run.reach(Phase.STARTING)
    run.reach(Phase.PAUSED)
    standing = [one for one in client.list_checkpoints("astray") if one.undone_by is None]
    # The trainer after it stands still there too, and may have taken its own by now.
    assert [one.step for one in standing] == [wished]
    assert {one.reason for one in standing} <= {"rollback", "pause"}
    client.resume_run("astray")
    assert run.end().phase is Phase.SUCCEEDED
    assert [row["train_loss"] for row in numbers(run, tmp_path)] == [
        row["train_loss"] for row in numbers(straight, tmp_path)
    ]
