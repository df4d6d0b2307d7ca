import pytest
from pydantic import ValidationError

from rheostat.cluster.declaration import Declaration
from rheostat.steering.records import Change, ScheduleEdit, Verb
from rheostat.steering.requests import check

EVERYTHING = {
    "horizon": {"steps": 2000},
    "swap": {"name": "cosine", "args": {"eta_min": 1e-5}, "rescale": False, "groups": ["head"]},
    "rewarm": {"steps": 10, "ratio": 0.1},
    "cooldown": {},
}


def declared(**edits):
    return Declaration.model_validate({"schedule": edits}).schedule


def changes(now, before=None):
    return [change for change, _ in now.new_edits(before)]


def test_edits_are_the_wishes_of_an_operator_in_a_fixed_order():
    horizon, swap, rewarm, cooldown = changes(declared(**EVERYTHING))

    assert horizon == Change(verb=Verb.HORIZON, edit=ScheduleEdit(steps=2000, rescale=True))
    assert swap == Change(
        verb=Verb.SWAP,
        edit=ScheduleEdit(schedule="cosine", args='{"eta_min": 1e-05}', rescale=False),
        groups=("head",),
    )
    assert rewarm == Change(verb=Verb.REWARM, edit=ScheduleEdit(steps=10, ratio=0.1))
    assert cooldown == Change(verb=Verb.COOLDOWN, edit=ScheduleEdit(shape="1-sqrt", ratio=0.0))


def test_every_edit_that_can_be_declared_passes_the_door_of_a_run():
    edits = {**EVERYTHING, "swap": {"name": "cosine", "groups": ["head"]}}

    for change in changes(declared(**edits)):
        check(change, ["body", "head"])


def test_an_edit_is_made_when_it_changes_and_not_again():
    before = declared(rewarm={"steps": 10}, cooldown={}, reason="at first")

    assert changes(declared(rewarm={"steps": 10}, cooldown={}, reason="later"), before) == []
    assert [one.verb for one in changes(declared(rewarm={"steps": 20}), before)] == [Verb.REWARM]
    assert changes(declared(), before) == []


def test_what_is_done_grows_edit_by_edit():
    now = declared(horizon={"steps": 2000}, cooldown={"steps": 5})
    *_, (_, halfway), (_, done) = now.new_edits(None)

    assert (halfway.horizon, halfway.cooldown) == (now.horizon, None)
    assert changes(now, halfway) == changes(now)[1:]
    assert changes(now, done) == []


@pytest.mark.parametrize(
    ("edits", "why"),
    [
        ({"swap": {}}, "Field required"),
        ({"horizon": {"steps": 0}}, "greater than or equal to 1"),
        ({"cooldown": {"shape": "steep"}}, "'1-sqrt', 'linear' or 'cosine'"),
        ({"rewarm": {"steps": 5, "ratio": 2}}, "less than or equal to 1"),
        ({"horizon": {"steps": 5, "groups": ["head"]}}, "Extra inputs"),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused(edits, why):
    with pytest.raises(ValidationError, match=why):
        declared(**edits)
