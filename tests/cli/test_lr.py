import json
import math
import struct

import msgspec
import pytest
from tests.cli.conftest import make_view

from rheostat.errors import (
    FailedPrecondition,
    InvalidRequest,
    RevisionConflict,
    Unreachable,
    Violation,
)
from rheostat.runs.records import ChangeResult, StepRows
from rheostat.spec.loading import read_document
from rheostat.steering.records import Change, Components, ScheduleEdit, Verb


def test_show_prints_the_json_that_scripts_rely_on(client, rheostat):
    shown = json.loads(rheostat("lr", "show", "digits", "--json").stdout)

    assert (shown["run"], shown["step"], shown["revision"]) == ("digits", 60, 1)
    [group] = shown["groups"]
    assert group | {"guardrails": None, "momentum": None} == {
        "name": "default",
        "learning_rate": 0.0005,
        "base": 0.001,
        "factors": {"loss_spike": 1.0},
        "operator": 0.5,
        "hold": None,
        "guardrails": None,
        "momentum": None,
        "shadows": {},
    }


def test_show_prints_a_table(client, rheostat):
    assert "loss_spike 1" in rheostat("lr", "show", "digits").stdout


def test_explain_prints_the_product_and_what_is_in_force(client, rheostat):
    out = rheostat("lr", "explain", "digits").stdout

    assert "default: 0.0005 = base 0.001 × loss_spike 1 × operator 0.5" in out  # noqa: RUF001
    assert "step 41: alice scale 0.5: default 0.001 → 0.0005 [bent by max_lr] (too [noisy])" in out


def test_explain_asks_for_a_finished_step(client, rheostat):
    rheostat("lr", "explain", "digits", "--step", "7")

    assert client.asked == [("explain", 7)]


def test_explain_names_the_schedule_of_the_spec(client, rheostat):
    out = rheostat("lr", "explain", "digits").stdout
    shown = json.loads(rheostat("lr", "explain", "digits", "--json").stdout)

    assert "Base:\n  default: constant of the spec\n" in out
    assert shown["schedules"] == {
        "default": {"name": "constant", "since_step": 0, "revision": None, "by": ""}
    }


def test_explain_names_the_newest_schedule_that_was_swapped_in_and_by_whom(
    client, rheostat, decision_of
):
    swaps = [
        decision_of(verb="swap", value=None, edit=ScheduleEdit(schedule="rex"), revision=2),
        decision_of(verb="cooldown", value=None, edit=ScheduleEdit(), revision=3, applied_step=50),
        decision_of(
            verb="rewarm", value=None, edit=ScheduleEdit(steps=9), revision=4, applied_step=55
        ),
    ]
    client.state = msgspec.structs.replace(client.state, decisions=tuple(swaps))

    out = rheostat("lr", "explain", "digits").stdout

    assert "default: cooldown since step 50, by alice (revision 3)" in out
    assert "revision 2, step 41: alice swap to rex" in out
    assert "revision 4, step 55: alice rewarm over 9 steps from 0 of it" in out


def test_explain_says_why_a_guardrail_bends_and_what_a_shadow_would_do(client, rheostat):
    [group] = client.state.groups
    bent = msgspec.structs.replace(group, guardrails=("max_lr",), shadows={"plateau": 0.00025})
    client.state = msgspec.structs.replace(client.state, groups=(bent,))

    out = rheostat("lr", "explain", "digits").stdout

    assert "× operator 0.5, bent by max_lr\n    Guardrail max_lr bends it: guard" in out  # noqa: RUF001
    assert "plateau, in shadow, would give 0.00025." in out


def test_history_prints_flat_decision_records(client, rheostat):
    [record] = json.loads(rheostat("lr", "history", "digits", "--json").stdout)

    assert list(record) == [
        "run",
        "revision",
        "applied_step",
        "source",
        "principal",
        "approved_by",
        "verb",
        "value",
        "edit",
        "policy",
        "reason",
        "request_id",
        "time",
        "groups",
        "guardrails",
        "previous_hash",
        "hash",
    ]
    assert (record["applied_step"], record["principal"], record["time"]) == (
        41,
        "alice",
        1_700_000_000.5,
    )


def test_of_a_long_history_the_newest_are_read_and_the_others_counted(client, rheostat):
    client.view = make_view(revision=1_000_000)
    afters = []
    client.list_decisions = lambda run, after=0: afters.append(after) or iter([client.record])

    shown = rheostat("lr", "history", "digits")
    rheostat("lr", "history", "digits", "--last", "3")
    rheostat("lr", "history", "digits", "--last", "0")
    rheostat("lr", "history", "digits", "--json")
    rheostat("lr", "history", "digits", "--json", "--last", "20")

    assert afters == [999_500, 999_997, 0, 0, 999_980]
    assert "999,500 older ones are not shown" in shown.stderr


def test_a_chain_is_verified_and_exported_as_a_whole_or_not_at_all(client, rheostat):
    for option in (("--verify",), ("--export", "-")):
        refused = rheostat("lr", "history", "digits", "--last", "5", *option)
        assert refused.exit_code == 2
        assert "about the whole" in " ".join(refused.output.split())


def test_history_shows_reasons_as_they_were_written(client, rheostat):
    out = rheostat("lr", "history", "digits").stdout

    assert "alice" in out
    assert "too [noisy]" in out


def test_a_change_prints_the_json_that_scripts_rely_on(client, rheostat):
    result = rheostat("lr", "scale", "digits", "0.5", "--json")

    assert json.loads(result.stdout) == {
        "revision": 1,
        "applied_step": 41,
        "groups": [{"name": "default", "old": 0.001, "new": 0.0005}],
        "guardrails": ["max_lr"],
        "request_id": "r-1",
    }


def test_a_change_is_told_in_words_with_the_guardrail_that_bent_it(client, rheostat):
    out = rheostat("lr", "scale", "digits", "0.5").stdout

    assert "Acts from step 41 on, as revision 1." in out
    assert "guardrails.max_lr is the largest LR" in out


def test_every_option_of_a_change_reaches_the_daemon(client, rheostat):
    options = "--steps 50 --group a --group b --at-step 7 --expires-after-steps 9 --request-id k"
    result = rheostat(
        *f"lr ramp digits 0.01 {options} --expected-revision 3 --timeout 2.5".split(),
        *("--reason", "a b"),
    )

    assert result.exit_code == 0, result.stderr
    assert client.change == Change(
        verb=Verb.RAMP,
        value=0.01,
        steps=50,
        groups=("a", "b"),
        at_step=7,
        expires_after_steps=9,
        reason="a b",
        request_id="k",
        expected_revision=3,
    )
    assert client.asked == [("change", True, 2.5)]


@pytest.mark.parametrize("verb", ["set", "scale", "hold"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-1", "-1e-3", "-.5", "1e9"])
def test_any_number_is_for_the_daemon_to_judge(client, rheostat, verb, value):
    result = rheostat("lr", verb, "digits", value)

    assert result.exit_code == 0, result.stderr
    assert client.change.value == pytest.approx(float(value), nan_ok=True)
    assert math.isnan(client.change.value) == (value == "nan")


def test_release_takes_no_value(client, rheostat):
    assert rheostat("lr", "release", "digits").exit_code == 0
    assert client.change == Change(verb=Verb.RELEASE)


def test_a_change_that_is_not_waited_for_has_no_step_yet(client, rheostat):
    client.result = ChangeResult(decision=None, request_id="r-9")
    answer = json.loads(rheostat("lr", "release", "digits", "--no-wait", "--json").stdout)

    assert answer == {
        "revision": None,
        "applied_step": None,
        "groups": [],
        "guardrails": [],
        "request_id": "r-9",
    }
    assert client.asked == [("change", False, 30.0)]


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (InvalidRequest([Violation("value", "-1", "a positive number")]), 2),
        (FailedPrecondition("digits has finished"), 1),
        (RevisionConflict("digits is at revision 4"), 1),
        (Unreachable("no daemon answers at 127.0.0.1:1"), 3),
    ],
)
def test_a_refusal_is_one_line_on_stderr_and_an_exit_code(
    client, rheostat, monkeypatch, error, exit_code
):
    def refuse(*args, **kwargs):
        raise error

    monkeypatch.setattr(client, "change_learning_rate", refuse)
    result = rheostat("lr", "set", "digits", "-1")

    assert (result.exit_code, result.stdout) == (exit_code, "")
    assert result.stderr == f"{error}\n"


def test_an_unknown_run_is_told(client, rheostat):
    result = rheostat("lr", "show", "mnist")

    assert (result.exit_code, result.stderr) == (1, "no run is named 'mnist'\n")


@pytest.mark.parametrize(
    "arguments",
    [("set", "digits"), ("set", "digits", "fast"), ("scale", "digits", "1", "--grup", "a")],
)
def test_a_malformed_command_is_a_usage_error(client, rheostat, arguments):
    assert rheostat("lr", *arguments).exit_code == 2
    assert client.change is None


def test_a_held_group_explains_what_it_would_be(client, rheostat):
    [group] = client.state.groups
    held = msgspec.structs.replace(group, hold=0.01, learning_rate=0.01)
    client.state = msgspec.structs.replace(client.state, groups=(held,), decisions=())
    out = rheostat("lr", "explain", "digits").stdout

    assert "default: 0.01 = held at 0.01 (without the hold: base 0.001" in out


def test_a_whole_history_is_verified(client, rheostat):
    result = rheostat("lr", "history", "digits", "--verify")

    assert result.exit_code == 0
    assert "The chain of 1 records is whole." in result.stderr


def test_a_history_that_was_tampered_with_is_found_out(client, rheostat):
    forged = msgspec.structs.replace(client.record.decision, reason="nothing to see here")
    client.record = msgspec.structs.replace(client.record, decision=forged)

    result = rheostat("lr", "history", "digits", "--verify")

    assert result.exit_code == 1
    assert "decision 1 was altered" in result.stderr


@pytest.fixture
def steered(client):
    """Let the run have been halved after its first step."""
    [state] = client.state.groups
    before = msgspec.structs.replace(state, operator=1.0)

    def components(group):
        text = msgspec.json.encode(Components(revision=0, in_force=(), groups=(group,)))
        return text.decode()

    client.rows = [
        StepRows(
            first_step=0,
            count=3,
            train_loss=struct.pack("<3d", 1, 2, 3),
            learning_rate={"default": struct.pack("<3d", 0.001, 0.0005, 0.0005)},
            base={"default": struct.pack("<3d", 0.001, 0.001, 0.001)},
            components={0: components(before), 1: components(state)},
            duration=struct.pack("<3d", 1, 2, 3),
        )
    ]
    client.view = msgspec.structs.replace(client.view, spec='{"train":{"steps":100}}')
    return client


def test_history_exports_a_fragment_that_a_spec_can_hold(steered, rheostat, tmp_path):
    file = tmp_path / "digits.yaml"
    result = rheostat("lr", "history", "digits", "--export", file)

    assert result.exit_code == 0, result.stderr
    assert f"The record is in {file}." in result.stderr
    text = file.read_text()
    assert text.startswith("# What run digits did in its 3 steps")
    assert read_document(text, "it") == {
        "schedule": {
            "name": "recorded",
            "args": {"schedule": {"name": "constant"}, "gains": [[1, 0.5]]},
        },
        "policies": [],
    }


def test_history_exports_to_standard_output_and_nothing_else(steered, rheostat):
    result = rheostat("lr", "history", "digits", "--export", "-")

    assert read_document(result.stdout, "it")["schedule"]["name"] == "recorded"
    assert result.stderr == ""


def test_history_exported_to_a_folder_that_is_not_there_names_the_file(steered, rheostat, tmp_path):
    file = tmp_path / "nowhere" / "digits.yaml"

    result = rheostat("lr", "history", "digits", "--export", file)

    assert (result.exit_code, f"{file} cannot be written: " in result.stderr) == (1, True)
