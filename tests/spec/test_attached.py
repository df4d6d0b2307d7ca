"""What a script says of itself when it is attached, and what of that is refused."""

import json

import pytest

from rheostat.errors import InvalidSpec
from rheostat.spec.attached import load_attached

SAID = {"name": "mine", "optimizer": {"name": "AdamW"}, "schedule": {"name": "LambdaLR"}}


def test_a_script_is_known_by_what_it_says():
    assert load_attached(json.dumps(SAID)).optimizer.name == "AdamW"


def test_it_may_be_said_in_yaml():
    text = "name: mine\noptimizer: {name: AdamW}\nschedule: {name: LambdaLR}\n"

    assert load_attached(text) == load_attached(json.dumps(SAID))


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("[" * 100_000, "nested"),
        ("{", "line 1"),
        ("[]", "mapping"),
        (json.dumps(SAID | {"optimizer": {"name": "SGD", "args": {"x": float("nan")}}}), "args.x"),
        (json.dumps(SAID | {"optimizer": {"name": "SGD", "args": {"x": [0] * 200_000}}}), "most"),
        (json.dumps(SAID | {"steps": 5}), "steps"),
        ('"' + "x" * 2**20 + '"', "at most"),
    ],
    ids=["endless", "cut", "list", "nan", "many", "foreign", "long"],
)
def test_what_is_no_such_thing_is_refused_with_the_mend(text, mend):
    with pytest.raises(InvalidSpec, match=mend):
        load_attached(text)


def test_any_depth_is_either_taken_or_refused():
    for depth in (10, 60, 200, 900, 990, 1_000, 1_100, 5_000):
        inner = "[" * depth + "]" * depth
        text = json.dumps(SAID)[:-1] + ', "x": ' + inner + "}"
        with pytest.raises(InvalidSpec):
            load_attached(text)
