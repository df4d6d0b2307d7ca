"""The noun `checkpoint`, and what else lets a run go on."""

import json

from msgspec.structs import replace


def test_checkpoints_are_listed_with_what_they_hold(client, rheostat):
    shown = rheostat("checkpoint", "list", "digits").stdout

    assert all(word in shown for word in ("60", "asked", "0.5", "2.5 MB", "pinned"))
    [listed] = json.loads(rheostat("checkpoint", "list", "digits", "--json").stdout)
    assert (listed["step"], listed["revision"], listed["pinned"]) == (60, 1, True)


def test_a_run_without_checkpoints_is_told_how_to_take_one(client, rheostat):
    client.checkpoints = []

    assert "rheostat checkpoint save digits" in rheostat("checkpoint", "list", "digits").stdout


def test_a_checkpoint_is_taken_and_kept_for_good_when_asked(client, rheostat):
    said = rheostat("checkpoint", "save", "digits", "--pin").stdout

    assert said.startswith("digits can go on from step 60: 2.5 MB in ")
    assert ("save", True) in client.asked


def test_an_evaluation_is_told_with_the_step_it_is_of(client, rheostat):
    said = rheostat("runs", "evaluate", "digits").stdout

    assert said == "after 60 steps: validation loss 0.5, accuracy 75.00%\n"
    told = json.loads(rheostat("runs", "evaluate", "digits", "--json").stdout)
    assert told == {"step": 60, "validation_loss": 0.5, "validation_accuracy": 0.75}


def test_a_fork_is_asked_for_with_the_whole_spec_and_its_changes(client, rheostat):
    said = rheostat(
        *("checkpoint", "fork", "digits", "--step", "50", "--name", "hot"),
        *("--set", "optimizer.lr=2e-3", "--request-id", "k"),
    ).stdout

    asked = {"name": "hot", "optimizer": {"lr": 2e-3}}
    assert client.asked == [("fork", "digits", asked, 50, None, "", "k")]
    assert said.splitlines() == [
        "hot begins with the 60 first steps of digits, and is queued.",
        "Schedule, overrides and policies go on as they were there, over what its spec says of "
        "LRs; --precedence spec would let them end there.",
    ]


def test_a_fork_of_a_script_says_what_to_type_for_it(client, rheostat):
    client.is_attached = True
    said = rheostat("checkpoint", "fork", "digits", "--name", "hot").stdout.splitlines()
    client.anew = ("steering",)
    anew = rheostat("checkpoint", "fork", "digits", "--name", "hot").stdout.splitlines()

    assert said[1].startswith("It begins when its script is started under its name: ")
    assert "RHEOSTAT_RUN=hot python script.py" in said[1]
    assert said[2].startswith(
        "Overrides and policies go on as they were there, over what its script"
    )
    assert anew[2].startswith(
        "Its LRs are what its script says; overrides and policies' factors end"
    )


def test_a_fork_may_be_of_what_is_undone_and_say_what_takes_precedence(client, rheostat):
    rheostat("checkpoint", "fork", "digits", "--undone", "7", "--precedence", "spec")

    [(_, _, _, step, undone, precedence, _)] = client.asked
    assert (step, undone, precedence) == (None, 7, "spec")


def test_snapshots_are_listed_as_what_they_are(client, rheostat):
    [checkpoint] = client.checkpoints
    client.checkpoints = [checkpoint, replace(checkpoint, step=75, path="", in_memory=True)]

    shown = rheostat("checkpoint", "list", "digits").stdout
    told = json.loads(rheostat("checkpoint", "list", "digits", "--json").stdout)

    assert "in memory" in shown.splitlines()[-1]
    assert [one["in_memory"] for one in told] == [False, True]


def test_a_fork_with_lrs_of_its_own_says_so(client, rheostat):
    client.anew = ("steering",)
    said = rheostat("checkpoint", "fork", "digits").stdout
    told = json.loads(rheostat("checkpoint", "fork", "digits", "--json").stdout)

    assert "Its LRs are what its own spec says" in said
    assert told["run"] == "digits-fork"
    assert told["origin"] == {
        "run": "digits",
        "kind": "fork",
        "step": 60,
        "revision": 0,
        "until": None,
        "anew": ["steering"],
    }


def test_a_rollback_is_asked_for_as_it_was_typed_and_told_in_one_line(client, rheostat):
    said = rheostat(
        *("checkpoint", "rollback", "digits", "--back", "200", "--skip", "250", "--rewarm", "50"),
        *("--scale", "0.5", "--reason", "it diverged", "--request-id", "k"),
    ).stdout

    [(kind, asked)] = client.asked
    assert kind == "rollback"
    assert asked == {
        "step": None,
        "back_steps": 200,
        "skip": 250,
        "rewarm_steps": 50,
        "scale": 0.5,
        "reason": "it diverged",
        "request_id": "k",
        "dry_run": False,
    }
    assert said == (
        "revision 5, step 300: ada rollback from step 510 to 300, around 250 batches: "
        "default 0.3 \N{RIGHTWARDS ARROW} 0.1 (it diverged)\n"
    )


def test_a_rollback_that_is_only_tried_says_where_it_would_go(client, rheostat):
    told = json.loads(rheostat("checkpoint", "rollback", "digits", "--dry-run", "--json").stdout)

    assert told == {"step": 300, "decision": None}
