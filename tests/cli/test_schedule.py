import json

import msgspec
import pytest

from rheostat.steering.records import Change, ScheduleEdit, Verb


def test_swap_carries_the_name_and_its_arguments_as_json(client, rheostat):
    args = ["--arg", "step_size=1e2", "--arg", "gamma=0.5", "--arg", "milestones=[2ep, 400]"]

    result = rheostat("schedule", "swap", "digits", "StepLR", *args, "--group", "head")

    assert result.exit_code == 0, result.stderr
    given = {"step_size": 100.0, "gamma": 0.5, "milestones": ["2ep", 400]}
    edit = ScheduleEdit(schedule="StepLR", args=json.dumps(given))
    assert client.change == Change(verb=Verb.SWAP, edit=edit, groups=("head",))


def test_swap_without_arguments_carries_none(client, rheostat):
    rheostat("schedule", "swap", "digits", "rex", "--no-rescale")

    assert client.change.edit == ScheduleEdit(schedule="rex", rescale=False)


@pytest.mark.parametrize("pair", ["factor", "=0.5", "a.b=1", "two words=1"])
def test_what_is_no_argument_is_refused_with_an_example(client, rheostat, pair):
    result = rheostat("schedule", "swap", "digits", "rex", "--arg", pair)

    assert result.exit_code == 2
    assert result.stderr == f"--arg = {pair}: KEY=VALUE, such as factor=0.5\n"
    assert client.change is None


def test_every_argument_that_cannot_be_read_is_told(client, rheostat):
    result = rheostat("schedule", "swap", "digits", "rex", "--arg", "a=[", "--arg", "b")

    assert result.exit_code == 2
    assert "--arg a" in result.stderr
    assert "--arg = b" in result.stderr


def test_horizon_takes_the_steps_of_the_whole_run(client, rheostat):
    rheostat("schedule", "horizon", "digits", "5000", "--no-rescale")

    edit = ScheduleEdit(steps=5000, rescale=False)
    assert client.change == Change(verb=Verb.HORIZON, edit=edit)


def test_horizon_is_for_the_whole_run(client, rheostat):
    assert rheostat("schedule", "horizon", "digits", "5000", "--group", "head").exit_code == 2
    assert client.change is None


def test_cooldown_falls_to_the_end_of_the_run_by_default(client, rheostat):
    rheostat("schedule", "cooldown", "digits")

    edit = ScheduleEdit(steps=None, shape="1-sqrt", ratio=None)
    assert client.change == Change(verb=Verb.COOLDOWN, edit=edit)


def test_cooldown_takes_length_shape_and_end(client, rheostat):
    options = "--steps 200 --shape cosine --ratio 0.1"
    rheostat("schedule", "cooldown", "digits", *options.split())

    assert client.change.edit == ScheduleEdit(steps=200, shape="cosine", ratio=0.1)


def test_rewarm_needs_its_length(client, rheostat):
    assert rheostat("schedule", "rewarm", "digits").exit_code == 2
    options = "--steps 50 --ratio 0.2"
    assert rheostat("schedule", "rewarm", "digits", *options.split()).exit_code == 0
    edit = ScheduleEdit(steps=50, ratio=0.2)
    assert client.change == Change(verb=Verb.REWARM, edit=edit)


def test_every_shared_option_reaches_the_daemon(client, rheostat):
    options = "--group a --group b --at-step 7 --request-id k --expected-revision 3 --timeout 2.5"
    result = rheostat(
        *f"schedule rewarm digits --steps 5 --dry-run {options}".split(), "--reason", "a b"
    )

    assert result.exit_code == 0, result.stderr
    assert client.change == Change(
        verb=Verb.REWARM,
        edit=ScheduleEdit(steps=5),
        groups=("a", "b"),
        at_step=7,
        reason="a b",
        request_id="k",
        expected_revision=3,
        dry_run=True,
    )
    assert client.asked == [("change", True, 2.5)]


@pytest.mark.parametrize("verb", ["swap digits rex", "horizon digits 9", "cooldown digits"])
def test_an_edit_does_not_expire(client, rheostat, verb):
    done = rheostat("schedule", *verb.split(), "--expires-after-steps", "5")

    assert (done.exit_code, client.change) == (2, None)


def test_an_edit_prints_the_json_of_every_change(client, rheostat):
    answer = json.loads(rheostat("schedule", "swap", "digits", "rex", "--json").stdout)

    assert list(answer) == ["revision", "applied_step", "groups", "guardrails", "request_id"]


def test_an_edit_shows_that_the_lr_goes_on_from_where_it_is(client, rheostat, decision_of):
    [group] = decision_of().groups
    same = msgspec.structs.replace(group, new=group.old, guardrails=())
    edit = ScheduleEdit(schedule="rex")
    client.result = msgspec.structs.replace(
        client.result, decision=decision_of(verb="swap", value=None, edit=edit, groups=(same,))
    )

    out = rheostat("schedule", "swap", "digits", "rex").stdout

    assert out.splitlines() == [
        "Acts from step 41 on, as revision 1.",
        "group      old    new",
        "default  0.001  0.001",
    ]
