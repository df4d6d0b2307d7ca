import json

import msgspec
import pytest

from rheostat.steering.records import PolicyEdit, RemoteTerms, ScheduleEdit
from rheostat.steering.wording import decision_line, what


@pytest.mark.parametrize(
    ("verb", "edit", "words"),
    [
        ("swap", {"schedule": "rex"}, "swap to rex"),
        (
            "swap",
            {"schedule": "StepLR", "args": json.dumps({"step_size": "2ep"}), "rescale": False},
            'swap to StepLR (step_size "2ep"), not rescaled',
        ),
        ("horizon", {"steps": 20000}, "horizon 20,000 steps"),
        ("cooldown", {}, "cooldown to 0 of it, 1-sqrt"),
        (
            "cooldown",
            {"steps": 500, "shape": "cosine", "ratio": 0.1},
            "cooldown over 500 steps to 0.1 of it, cosine",
        ),
        ("rewarm", {"steps": 50}, "rewarm over 50 steps from 0 of it"),
    ],
)
def test_an_edit_of_the_schedule_in_words(decision_of, verb, edit, words):
    assert what(decision_of(verb=verb, value=None, edit=ScheduleEdit(**edit))) == words


@pytest.mark.parametrize(
    ("verb", "edit", "words"),
    [
        ("attach", {"args": json.dumps({"patience": 3})}, "attach mine (patience 3)"),
        ("attach", {"shadow": True}, "attach mine, in shadow"),
        ("attach", {"remote": RemoteTerms()}, "attach mine, remote, async"),
        ("detach", {"ramp_steps": 50}, "detach mine over 50 steps"),
        ("shadow", {}, "shadow mine"),
        ("engage", {}, "engage mine"),
        ("revive", {}, "revive mine"),
    ],
)
def test_a_change_of_a_policy_in_words(decision_of, verb, edit, words):
    decision = decision_of(verb=verb, value=None, policy=PolicyEdit(policy="mine", **edit))

    assert what(decision) == words


@pytest.mark.parametrize(
    ("verb", "value", "words"),
    [
        ("bench", None, "policy:mine is benched"),
        ("vanish", None, "policy:mine has vanished"),
        ("relax", 1.0, "policy:mine relaxes to 1"),
        ("", 0.5, "policy:mine factor 0.5"),
    ],
)
def test_what_befalls_a_policy_in_words(decision_of, verb, value, words):
    decision = decision_of(verb=verb, value=value, source="policy:mine", principal="", reason="why")

    assert decision_line(decision) == (
        f"step 41: {words}: default 0.001 → 0.0005 [bent by max_lr] (why)"
    )


def test_a_decision_that_moves_no_lr_shows_none(decision_of):
    [group] = decision_of().groups
    same = msgspec.structs.replace(group, new=group.old, guardrails=())
    policy = PolicyEdit(policy="mine")
    decision = decision_of(verb="shadow", value=None, policy=policy, groups=(same,), reason="")

    assert decision_line(decision) == "step 41: alice shadow mine"


def test_arguments_that_fill_the_line_are_cut(decision_of):
    edit = ScheduleEdit(schedule="sequence", args=json.dumps({"milestones": list(range(100))}))

    assert len(what(decision_of(verb="swap", value=None, edit=edit))) < 90
