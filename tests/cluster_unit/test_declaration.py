import pytest
from pydantic import ValidationError

from rheostat.cluster.declaration import Declaration, Wish
from rheostat.steering.records import Verb


def declared(**rates):
    return Declaration.model_validate({"learningRate": rates}).learning_rate


def test_a_group_without_a_wish_of_its_own_has_the_common_one():
    rates = declared(scale=0.5, groups={"head": {"hold": 1e-4}})

    assert rates.wish_for("body") == Wish(Verb.SCALE, 0.5)
    assert rates.wish_for("head") == Wish(Verb.HOLD, 1e-4)


def test_an_empty_wish_leaves_a_group_to_schedule_and_policies():
    assert declared(scale=0.5, groups={"head": {}}).wish_for("head") is None


def test_nothing_is_wanted_by_default():
    assert Declaration.model_validate({}) == Declaration(
        daemon=None, learning_rate=None, suspend=False
    )


@pytest.mark.parametrize(
    ("rates", "why"),
    [
        ({"scale": 0.5, "hold": 1e-3}, "one of scale, set, hold, not scale and hold"),
        ({"scale": -1}, "greater than or equal to 0"),
        ({"ramp": 1}, "Extra inputs"),
        ({"groups": {"head": {"set": "fast"}}}, "valid number"),
        ({"reason": "x" * 1001}, "at most 1000"),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused(rates, why):
    with pytest.raises(ValidationError, match=why):
        declared(**rates)
