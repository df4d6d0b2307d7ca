"""Runs made from runs: forks that go another way, and replays that do the same again."""

import csv
import json

import pytest

from rheostat.runs.records import Phase

STEPS = 600


@pytest.fixture(scope="module")
def steered(daemon):
    """A run that has ended, was steered by a person and a policy, and has checkpoints."""
    run = daemon.create(
        name="trunk",
        policies=[{"name": "loss_spike", "args": {"threshold": 1.2, "warmup_steps": 5}}],
        schedule={"name": "warmup_cosine", "args": {"warmup_steps": 50}},
        train={"steps": STEPS},
        evaluate={"every": 100},
        checkpoint={"every": 200, "keep": 5},
    )
    run.reach(Phase.RUNNING)
    for step, factor in ((150, 0.5), (450, 3.0)):
        run.change("scale", factor, at_step=step, request_id=f"at-{step}", wait=False)
    run.change("hold", 1e-3, at_step=300, expires_after_steps=40, wait=False)
    assert run.end().phase is Phase.SUCCEEDED
    return run


def rows_of(daemon, run, file):
    daemon.rheostat("runs", "export", run, file, check=True)
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def wait_for(daemon, name):
    daemon.rheostat("runs", "watch", name, check=True)
    return daemon.client.get_run(name)


def test_a_replay_comes_to_the_same_numbers_and_leaves_nothing_behind(daemon, steered):
    done = daemon.rheostat("replay", "trunk")

    assert (done.returncode, done.stdout) == (0, f"identical: {STEPS} steps\n"), done.stderr
    assert "trunk-replay" not in {view.name for view in daemon.client.list_runs()}


def test_a_replay_that_comes_to_other_numbers_says_where_first(daemon, steered):
    # Random numbers that nobody has seeded: the second time they are others.
    run = daemon.create(
        name="dice", model={"name": "unseeded:net", "args": {}}, train={"steps": 40}
    )
    run.end()
    done = daemon.rheostat("replay", "dice", "--json")

    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert (found["identical"], found["steps"]) == (False, 0)
    assert found["difference"]["column"] == "train_loss"
    assert found["difference"]["dice"] != found["difference"]["dice-replay"]


def test_a_fork_without_changes_goes_on_as_its_trunk_did(daemon, steered, tmp_path):
    made = daemon.json("checkpoint", "fork", "trunk", "--step", 290, "--name", "same")
    origin = made["origin"]
    assert (origin["run"], origin["kind"], origin["anew"]) == ("trunk", "fork", [])
    assert 200 <= origin["step"] <= 290
    assert wait_for(daemon, "same").phase is Phase.SUCCEEDED

    trunk, same = (rows_of(daemon, name, tmp_path / f"{name}.csv") for name in ("trunk", "same"))
    # Of the hold there is a column in one of the files only.
    assert [row | {"hold.default": ""} for row in same[:300]] == trunk[:300]
    # What was asked of the trunk after the checkpoint was not asked of the fork.
    assert [row["learning_rate.default"] for row in same[300:340]] != [
        row["learning_rate.default"] for row in trunk[300:340]
    ]
    before = [one.decision for one in steered.history if one.decision.applied_step < origin["step"]]
    history = [record.decision for record in daemon.client.list_decisions("same")]
    assert history[: len(before)] == before
    assert daemon.rheostat("lr", "history", "same", "--verify").returncode == 0


def test_a_fork_with_another_schedule_has_its_lrs_from_there_on(daemon, steered, tmp_path):
    constant = ("--set", "schedule.name=constant", "--set", "schedule.args={}")
    made = daemon.json(
        *("checkpoint", "fork", "trunk", "--step", 500, "--name", "other", *constant),
        *("--set", "optimizer.lr=2e-3", "--set", "policies=[]"),
    )
    begun = made["origin"]["step"]
    assert made["origin"]["anew"] == ["steering", "options"]
    assert wait_for(daemon, "other").phase is Phase.SUCCEEDED

    trunk, other = (rows_of(daemon, name, tmp_path / f"{name}.csv") for name in ("trunk", "other"))
    for ours, theirs in zip(other[:begun], trunk[:begun], strict=True):
        assert (ours["train_loss"], ours["learning_rate.default"]) == (
            theirs["train_loss"],
            theirs["learning_rate.default"],
        )
    assert {row["learning_rate.default"] for row in other[begun:]} == {"0.002"}
    # The weights were the trunk's: the loss of the first step of its own is the same.
    assert other[begun]["train_loss"] == trunk[begun]["train_loss"]


def test_a_fork_may_be_longer_with_another_seed_and_is_replayed_from_where_it_began(
    daemon, steered
):
    longer = ("--set", "train.steps=700", "--set", "train.seed=7")
    daemon.rheostat("checkpoint", "fork", "trunk", "--name", "longer", *longer, check=True)
    ended = wait_for(daemon, "longer")
    replayed = daemon.rheostat("replay", "longer", "--json")

    assert ended.result.steps == 700
    assert set(ended.origin.anew) == {"steering", "generators"}
    assert replayed.returncode == 0, replayed.stderr
    assert json.loads(replayed.stdout)["steps"] == 700 - ended.origin.step


def test_runs_are_listed_as_a_tree(daemon, steered):
    listed = daemon.rheostat("runs", "list", "--tree", check=True).stdout.splitlines()
    names = [line[:30].split("  ")[0].strip() for line in listed[1:]]

    trunk = names.index("trunk")
    assert names[trunk + 1].startswith("├ same @2")
    assert any(name.startswith(("├ longer @", "└ longer @")) for name in names)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("trunk", "--step", "10"), 1, "has no good checkpoint of step 10 or before"),
        (("nobody",), 1, "no run is named 'nobody'"),
        (("trunk", "--set", "model.name=lenet5", "--set", "model.args={}"), 2, "spec.model"),
        (("trunk", "--set", "optimizer.lr=-1"), 2, "optimizer.lr"),
    ],
)
def test_what_cannot_be_forked_is_refused_with_the_reason(daemon, steered, arguments, code, said):
    refused = daemon.rheostat("checkpoint", "fork", *arguments)

    assert refused.returncode == code
    assert said in refused.stderr


def test_the_same_request_forks_once(daemon, steered):
    made = [
        daemon.json("checkpoint", "fork", "trunk", "--name", "once", "--request-id", "k")["run"]
        for _ in range(2)
    ]

    assert made == ["once", "once"]
