"""The last word: what no schedule, policy or operator can get past."""

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rheostat.steering.records import Verb


@given(
    lrs=st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=30),
    bounds=st.tuples(st.floats(1e-6, 1e-2), st.floats(1e-2, 10)),
    ratio=st.one_of(st.none(), st.floats(1.01, 10)),
)
@settings(deadline=None)
def test_whatever_a_schedule_says_the_lr_is_finite_and_within_bounds(
    make_rig: Any, lrs: list[float], bounds: tuple[float, float], ratio: float | None
) -> None:
    low, high = bounds
    rig = make_rig(
        {"all": lambda step: lrs[step] if step < len(lrs) else lrs[-1]},
        min_lr=low,
        max_lr=high,
        max_ratio_per_step=ratio,
    )

    for lr in rig.lrs(range(len(lrs))):
        assert low <= lr <= high


def test_a_wish_above_the_bound_is_clamped_and_names_the_rule(make_rig: Any) -> None:
    rig = make_rig({"all": lambda step: 0.1}, max_lr=0.5)
    rig.run_to(3)

    decision = rig.ask(Verb.SET, 1e9)

    assert decision.groups[0].new == 0.5
    assert decision.guardrails == ("max_lr",)


def test_a_wish_beyond_the_bound_aims_at_the_bound_and_not_beyond(make_rig: Any) -> None:
    rig = make_rig({"all": lambda step: 0.1}, max_lr=0.5)
    rig.run_to(3)
    rig.ask(Verb.SET, 1e9)

    rig.ask(Verb.SCALE, 0.5)

    assert rig.steering.learning_rates == [0.25]
    rig.run_to(9)
    assert [one.source for one in rig.decisions] == ["operator", "operator"]
    assert rig.steering.interventions == {"max_lr": 1}


def test_without_bounds_the_default_is_a_hundred_times_the_schedules_peak(make_rig: Any) -> None:
    rig = make_rig({"all": lambda step: 0.1 if step < 50 else 0.2})
    rig.run_to(0)

    assert rig.ask(Verb.HOLD, 1e9).groups[0].new == pytest.approx(20.0)


def test_the_default_bound_never_bends_the_schedule_itself(make_rig: Any) -> None:
    rig = make_rig({"all": lambda step: 0.001 * (1 + step % 17)})

    rig.run_to(200)

    assert rig.decisions == []
    assert rig.steering.interventions == {}


@given(factors=st.lists(st.floats(0.01, 20), min_size=1, max_size=5), limit=st.floats(1.05, 4))
@settings(deadline=None)
def test_the_ratio_rule_bounds_every_step_and_still_arrives(
    make_rig: Any, factors: list[float], limit: float
) -> None:
    rig = make_rig({"all": lambda step: 0.1}, max_ratio_per_step=limit)
    rig.run_to(1)
    wanted = 0.1
    for factor in factors:
        rig.ask(Verb.SCALE, factor)
        wanted *= factor

    lrs = [0.1, rig.steering.learning_rates[0], *rig.lrs(range(2, 400))]

    for before, after in pairwise(lrs):
        assert 1 / limit - 1e-9 <= after / before <= limit + 1e-9
    assert lrs[-1] == pytest.approx(min(max(wanted, 0.0), 10.0), rel=1e-9)


@given(limit=st.floats(1.01, 3))
@settings(deadline=None)
def test_the_ratio_rule_never_bends_the_schedules_own_jumps(make_rig: Any, limit: float) -> None:
    def jumpy(step: int) -> float:  # warm-up from 0, a milestone, a restart
        return [0.0, 0.05, 0.1, 0.1, 0.001, 0.001, 0.1][step % 7]

    rig = make_rig({"all": jumpy}, max_ratio_per_step=limit)

    assert rig.lrs(range(28)) == [jumpy(step) for step in range(28)]


def test_the_ratio_rule_lets_a_hold_stand_while_the_schedule_jumps(make_rig: Any) -> None:
    rig = make_rig({"all": lambda step: 0.1 if step < 10 else 0.001}, max_ratio_per_step=2.0)
    rig.run_to(2)
    rig.ask(Verb.HOLD, 0.1)

    assert set(rig.lrs(range(3, 30))) == {0.1}


def test_a_guardrail_that_begins_or_ceases_to_bind_is_recorded(make_rig: Any) -> None:
    rig = make_rig({"all": lambda step: 0.5 if 10 <= step < 20 else 0.1}, max_lr=0.2)

    rig.run_to(30)

    assert [(one.source, one.applied_step) for one in rig.decisions] == [
        ("guardrail", 10),
        ("guardrail", 20),
    ]
    assert rig.decisions[0].guardrails == ("max_lr",)
    assert rig.steering.interventions == {"max_lr": 10}


def test_a_schedule_that_says_nan_keeps_the_last_lr(make_rig: Any) -> None:
    rig = make_rig({"all": lambda step: math.nan if step == 5 else 0.1}, max_lr=1.0)

    assert rig.lrs(range(8)) == [0.1] * 8
    assert rig.decisions[0].guardrails == ("finite",)
