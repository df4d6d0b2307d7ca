"""What each verb does to the LR, and from which step."""

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rheostat.errors import FailedPrecondition, InvalidRequest, RevisionConflict
from rheostat.steering.records import Change, Verb
from rheostat_policies import SCHEDULES
from rheostat_policies.schedules.examples import EXAMPLE_RUN, EXAMPLES

CURVES = {name: SCHEDULES[name](EXAMPLE_RUN, **args) for name, args in EXAMPLES.items()}


@pytest.mark.parametrize("name", SCHEDULES)
@given(step=st.integers(0, 99), factor=st.floats(0.01, 10))
@settings(deadline=None, max_examples=40)
def test_scale_multiplies_the_untouched_curve_from_the_applied_step_on(
    make_rig: Any, name: str, step: int, factor: float
) -> None:
    curve = CURVES[name].learning_rate
    rig = make_rig({"all": curve})
    untouched = rig.lrs(range(step))
    rig.run_to(step)

    decision = rig.ask(Verb.SCALE, factor)
    scaled = [rig.steering.learning_rates[0], *rig.lrs(range(step + 1, 120))]

    assert decision.applied_step == step
    assert untouched == [curve(t) for t in range(step)]
    assert scaled == [curve(t) * factor for t in range(step, 120)]


@given(step=st.integers(8, 60), value=st.floats(1e-4, 1.0))
@settings(deadline=None)
def test_set_makes_the_lr_this_value_and_keeps_the_schedules_shape(
    make_rig: Any, step: int, value: float
) -> None:
    curve = CURVES["warmup_cosine"].learning_rate
    rig = make_rig({"all": curve})
    rig.run_to(step)

    decision = rig.ask(Verb.SET, value)

    assert decision.groups[0].new == pytest.approx(value, rel=1e-14)
    for t, lr in zip(range(step + 1, 100), rig.lrs(range(step + 1, 100)), strict=True):
        assert lr == pytest.approx(value * curve(t) / curve(step), rel=1e-12)


@given(steps=st.integers(1, 50), value=st.floats(1e-4, 1.0))
def test_ramp_walks_geometrically_and_arrives_after_its_steps(
    make_rig: Any, steps: int, value: float
) -> None:
    rig = make_rig({"all": lambda step: 0.1})
    rig.run_to(5)

    rig.ask(Verb.RAMP, value, steps=steps)
    lrs = [0.1, rig.steering.learning_rates[0], *rig.lrs(range(6, 70))]

    assert lrs[steps] == pytest.approx(value, rel=1e-12)
    assert lrs[-1] == pytest.approx(value, rel=1e-12)
    ratios = [after / before for before, after in pairwise(lrs[: steps + 1])]
    assert ratios == pytest.approx([(value / 0.1) ** (1 / steps)] * steps, rel=1e-9)


def test_ramp_arrives_at_its_value_though_the_schedule_moves(make_rig: Any) -> None:
    rig = make_rig({"all": CURVES["warmup_cosine"].learning_rate})
    rig.run_to(20)

    rig.ask(Verb.RAMP, 0.005, steps=30)

    assert rig.run_to(49)[0] == pytest.approx(0.005, rel=1e-12)


def test_hold_keeps_the_lr_until_released_whatever_the_schedule_does(make_rig: Any) -> None:
    curve = CURVES["StepLR"].learning_rate
    rig = make_rig({"all": curve})
    rig.run_to(3)

    rig.ask(Verb.HOLD, 0.07)
    held = [rig.steering.learning_rates[0], *rig.lrs(range(4, 40))]
    rig.ask(Verb.RELEASE)

    assert set(held) == {0.07}
    assert rig.steering.learning_rates == [curve(39)]


def test_release_of_a_hold_keeps_the_scale_beneath_and_a_second_release_drops_it(
    make_rig: Any,
) -> None:
    rig = make_rig({"all": lambda step: 0.1})
    rig.run_to(0)
    rig.ask(Verb.SCALE, 0.5)
    rig.ask(Verb.HOLD, 0.03)

    first = rig.ask(Verb.RELEASE)
    second = rig.ask(Verb.RELEASE)

    assert [change.new for change in first.groups] == [0.05]
    assert [change.new for change in second.groups] == [0.1]


def test_only_the_groups_named_are_touched(make_rig: Any) -> None:
    rig = make_rig()
    rig.run_to(2)

    decision = rig.ask(Verb.SCALE, 0.5, groups=("head",))

    assert [change.name for change in decision.groups] == ["head"]
    assert rig.steering.learning_rates == [0.1, 0.1]


def test_at_step_waits_for_its_step(make_rig: Any) -> None:
    rig = make_rig({"all": lambda step: 0.1})
    rig.run_to(2)

    waiting = rig.ask(Verb.SCALE, 0.5, at_step=5)

    assert waiting is None
    assert rig.lrs([3, 4, 5, 6]) == [0.1, 0.1, 0.05, 0.05]
    assert rig.outcomes[0].result.applied_step == 5


def test_what_waits_already_is_not_done_twice_and_answers_whoever_asked_last(make_rig: Any) -> None:
    rig = make_rig()
    rig.run_to(2)
    change = Change(verb=Verb.SCALE, value=0.5, at_step=5, request_id="later", expected_revision=0)
    rig.submit(change)
    rig.ask(Verb.SCALE, 0.5)
    rig.submit(change)  # by the next daemon, which cannot know that it has passed the door

    rig.run_to(6)

    assert [one.request_id for one in rig.decisions].count("later") == 1
    answers = [(one.ticket, one.result.request_id) for one in rig.outcomes]
    assert answers == [(2, ""), (3, "later")]


def test_at_step_in_the_past_acts_now(make_rig: Any) -> None:
    rig = make_rig({"all": lambda step: 0.1})
    rig.run_to(9)

    assert rig.ask(Verb.SCALE, 0.5, at_step=3).applied_step == 9


@pytest.mark.parametrize(
    ("verb", "value", "steps", "during"),
    [
        (Verb.SCALE, 0.5, None, 0.05),
        (Verb.SET, 0.03, None, 0.03),
        (Verb.HOLD, 0.07, None, 0.07),
        (Verb.RAMP, 0.02, 1, 0.02),
    ],
)
def test_an_expired_change_leaves_no_trace(
    make_rig: Any, verb: Verb, value: float, steps: int | None, during: float
) -> None:
    rig = make_rig({"all": lambda step: 0.1})
    rig.run_to(10)

    rig.ask(verb, value, steps=steps, expires_after_steps=3)
    lrs = [rig.steering.learning_rates[0], *rig.lrs([11, 12, 13, 14])]

    assert lrs == pytest.approx([during] * 3 + [0.1, 0.1])
    assert [decision.source for decision in rig.decisions] == ["operator", "expiry"]
    assert rig.decisions[1].applied_step == 13


def test_a_stale_expected_revision_is_refused_and_changes_nothing(make_rig: Any) -> None:
    rig = make_rig({"all": lambda step: 0.1})
    rig.run_to(0)
    rig.ask(Verb.SCALE, 0.5, expected_revision=0)

    refused = rig.ask(Verb.SCALE, 0.5, expected_revision=0)

    assert isinstance(refused, RevisionConflict)
    assert rig.steering.learning_rates == [0.05]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0, None])
@pytest.mark.parametrize("verb", [Verb.SCALE, Verb.SET, Verb.HOLD, Verb.RAMP])
def test_a_value_that_no_lr_can_be_is_refused_by_name(
    make_rig: Any, verb: Verb, value: float | None
) -> None:
    rig = make_rig()
    rig.run_to(0)

    refused = rig.ask(verb, value, steps=5 if verb is Verb.RAMP else None)

    assert isinstance(refused, InvalidRequest)
    assert [one.field for one in refused.violations] == ["value"]


def test_an_unknown_group_is_refused_with_the_known_ones(make_rig: Any) -> None:
    rig = make_rig()
    rig.run_to(0)

    refused = rig.ask(Verb.SCALE, 0.5, groups=("haed",))

    assert isinstance(refused, InvalidRequest)
    assert "body, head" in str(refused)
    assert "did you mean head?" in str(refused)


def test_every_mistake_of_a_request_is_named_at_once(make_rig: Any) -> None:
    rig = make_rig()
    rig.run_to(0)

    refused = rig.ask(Verb.SCALE, -1.0, groups=("x",), at_step=-1, expires_after_steps=0, steps=3)

    assert [one.field for one in refused.violations] == [
        "value",
        "steps",
        "groups[0]",
        "at_step",
        "expires_after_steps",
    ]


def test_set_where_the_schedule_gives_zero_is_refused_with_the_mend(make_rig: Any) -> None:
    rig = make_rig({"body": lambda step: 0.1, "head": lambda step: 0.0})
    rig.run_to(0)

    refused = rig.ask(Verb.SET, 0.1)

    assert isinstance(refused, FailedPrecondition)
    assert "use hold" in str(refused)
    assert rig.steering.learning_rates == [0.1, 0.0], "all groups or none"


def test_a_scale_beyond_all_numbers_is_refused_with_the_mend(make_rig: Any) -> None:
    rig = make_rig({"all": lambda step: 0.1})
    rig.run_to(0)
    rig.ask(Verb.SCALE, 1e200)

    refused = rig.ask(Verb.SCALE, 1e200)

    assert isinstance(refused, FailedPrecondition)
    assert "is scaled by 1e+200 already" in str(refused)
    assert "release it first" in str(refused)


def test_a_group_scaled_to_zero_comes_back_by_release(make_rig: Any) -> None:
    rig = make_rig({"all": lambda step: 0.1})
    rig.run_to(0)
    rig.ask(Verb.SCALE, 0.0)

    assert isinstance(rig.ask(Verb.SET, 0.1), FailedPrecondition)
    rig.ask(Verb.RELEASE)
    assert rig.steering.learning_rates == [0.1]
