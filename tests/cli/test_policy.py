import json

import msgspec
import pytest

from rheostat.steering.records import Change, PolicyEdit, Verb


def test_list_says_what_each_policy_is_and_how_it_behaves(client, rheostat):
    header, active, vanished = rheostat("policy", "list", "digits").stdout.splitlines()

    assert header.split()[:4] == ["policy", "state", "runs", "factor"]
    assert active.split("  ")[0] == "loss_spike"
    for text in ("active", "in the trainer", "0.5", "kept 1,200, changed 2"):
        assert text in active
    for text in (
        "shadow, benched, vanished",
        "remote, lockstep",
        "default 1, head 2",
        "missed 5",
        "no answer within its deadline of 0.5 s",
    ):
        assert text in vanished


def test_list_prints_the_json_that_scripts_rely_on(client, rheostat):
    first, second = json.loads(rheostat("policy", "list", "digits", "--json").stdout)

    assert list(first) == [
        "name",
        "shadow",
        "benched",
        "mode",
        "connected",
        "outcomes",
        "failure",
        "factors",
    ]
    assert (first["name"], first["connected"], second["connected"]) == ("loss_spike", None, False)


def test_list_of_a_run_without_policies_says_how_to_get_one(client, rheostat):
    client.policies = ()

    assert "rheostat policy attach digits NAME" in rheostat("policy", "list", "digits").stdout


def test_types_are_what_can_be_attached(client, rheostat):
    out = rheostat("policy", "types").stdout
    listed = json.loads(rheostat("policy", "types", "--json").stdout)

    assert "Lower the LR when [it] stalls." in out
    assert listed[1] == {"name": "theirs", "summary": "", "origin": "their-package"}


@pytest.mark.parametrize(
    ("arguments", "verb", "edit"),
    [
        (
            "attach digits plateau --arg patience=3 --shadow",
            Verb.ATTACH,
            PolicyEdit(policy="plateau", args='{"patience": 3}', shadow=True),
        ),
        ("attach digits plateau", Verb.ATTACH, PolicyEdit(policy="plateau")),
        (
            "detach digits plateau --ramp-steps 50",
            Verb.DETACH,
            PolicyEdit(policy="plateau", ramp_steps=50),
        ),
        ("detach digits plateau", Verb.DETACH, PolicyEdit(policy="plateau")),
        ("shadow digits plateau", Verb.SHADOW, PolicyEdit(policy="plateau")),
        ("shadow digits plateau --off", Verb.ENGAGE, PolicyEdit(policy="plateau")),
        ("revive digits plateau", Verb.REVIVE, PolicyEdit(policy="plateau")),
    ],
)
def test_each_verb_is_a_change(client, rheostat, arguments, verb, edit):
    result = rheostat("policy", *arguments.split())

    assert result.exit_code == 0, result.stderr
    assert client.change == Change(verb=verb, policy=edit)


def test_every_shared_option_reaches_the_daemon(client, rheostat):
    options = "--at-step 7 --request-id k --expected-revision 3 --dry-run"
    rheostat(*f"policy detach digits plateau {options}".split(), "--reason", "a b")

    assert client.change == Change(
        verb=Verb.DETACH,
        policy=PolicyEdit(policy="plateau"),
        at_step=7,
        reason="a b",
        request_id="k",
        expected_revision=3,
        dry_run=True,
    )


@pytest.mark.parametrize("option", ["--group", "--expires-after-steps"])
def test_a_policy_is_for_the_whole_run_and_for_good(client, rheostat, option):
    done = rheostat("policy", "attach", "digits", "plateau", option, "1")

    assert (done.exit_code, client.change) == (2, None)


def test_a_verb_that_moves_no_lr_shows_no_lrs(client, rheostat, decision_of):
    [group] = decision_of().groups
    same = msgspec.structs.replace(group, new=group.old, guardrails=())
    attached = decision_of(
        verb="attach", value=None, policy=PolicyEdit(policy="plateau"), groups=(same,)
    )
    client.result = msgspec.structs.replace(client.result, decision=attached)

    out = rheostat("policy", "attach", "digits", "plateau").stdout

    assert out == "Acts from step 41 on, as revision 1.\n"
