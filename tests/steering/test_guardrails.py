"""The last word: what no schedule, policy or operator can get past."""

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rheostat.errors import ResourceExhausted
from rheostat.steering.records import Decision, Verb
from rheostat_policies import Action


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
    assert [one.groups[0].base for one in rig.decisions] == [0.0, 0.1], "no record can hold NaN"


def test_bounds_relative_to_the_schedule_follow_it(make_rig: Any) -> None:
    curve = [0.1, 0.1, 0.1, 0.01, 0.01, 0.01]
    rig = make_rig(
        {"all": lambda step: curve[min(step, 5)]}, min_ratio_to_base=0.5, max_ratio_to_base=2.0
    )
    rig.run_to(1)

    up = rig.ask(Verb.SCALE, 10.0)
    lrs = [rig.steering.learning_rates[0], *rig.lrs([2, 3])]
    down = rig.ask(Verb.HOLD, 0.001)

    assert lrs == [0.2, 0.2, 0.02]
    assert up.guardrails == ("max_ratio_to_base",)
    assert (down.groups[0].new, down.guardrails) == (0.005, ("min_ratio_to_base",))


@given(
    factors=st.lists(st.floats(0.05, 20), min_size=1, max_size=6),
    limit=st.floats(1.1, 4),
    steps=st.integers(1, 20),
)
@settings(deadline=None, max_examples=50)
def test_the_window_rule_bounds_every_window_and_still_arrives(
    make_rig: Any, factors: list[float], limit: float, steps: int
) -> None:
    window = {"ratio": limit, "steps": steps}
    rig = make_rig({"all": lambda step: 0.1}, max_lr=1e9, max_ratio_per_window=window)
    rig.run_to(1)
    wanted = 0.1
    for factor in factors:
        rig.ask(Verb.SCALE, factor)
        wanted *= factor

    lrs = [0.1, rig.steering.learning_rates[0], *rig.lrs(range(2, 60 * steps + 400))]

    for end in range(1, len(lrs)):
        seen = lrs[max(0, end - steps) : end + 1]
        assert max(seen) / min(seen) <= limit * (1 + 1e-9)
    if max(factors) ** len(factors) < limit ** (50):
        assert lrs[-1] == pytest.approx(wanted, rel=1e-6)


@given(factor=st.floats(1.5, 50), limit=st.floats(1.2, 5))
@settings(deadline=None)
def test_the_drift_rule_bounds_the_mean_of_a_policy_that_creeps(
    make_rig: Any, factor: float, limit: float
) -> None:
    rig = make_rig({"all": lambda step: 0.1}, max_lr=1e9, max_drift=limit)
    rig.run_to(20)
    rig.ask(Verb.SCALE, factor)

    lrs = [0.1] * 20 + [rig.steering.learning_rates[0], *rig.lrs(range(21, 300))]

    for count in range(1, len(lrs) + 1):
        mean = sum(math.log(lr / 0.1) for lr in lrs[:count]) / count
        assert abs(mean) <= math.log(limit) + 1e-9
    assert lrs[20] == pytest.approx(0.1 * min(factor, limit**21)), "unused room may be used"


@pytest.mark.parametrize(
    "rules",
    [
        {"max_ratio_per_window": {"ratio": 1.5, "steps": 10}},
        {"max_drift": 1.5},
        {"max_ratio_to_base": 1.5, "min_ratio_to_base": 0.7},
    ],
    ids=str,
)
def test_movement_rules_never_bend_the_schedules_own_jumps(make_rig: Any, rules: Any) -> None:
    def jumpy(step: int) -> float:
        return [0.0, 0.05, 0.1, 0.1, 0.001, 0.001, 0.1][step % 7]

    rig = make_rig({"all": jumpy}, **rules)

    assert rig.lrs(range(50)) == [jumpy(step) for step in range(50)]


def test_a_group_that_cools_down_refuses_operators_and_ignores_policies(make_rig: Any) -> None:
    class Eager:
        def initial_state(self, run: Any) -> None:
            return None

        def decide(self, state: None, observation: Any) -> Any:
            return Action(factor=0.9 if observation.step % 2 else 1.0), None

    rig = make_rig({"all": lambda step: 0.1}, {"eager": Eager()}, cool_down_steps=10)
    rig.run_to(12)

    refused = rig.ask(Verb.SCALE, 0.5)
    released = rig.ask(Verb.RELEASE)

    assert [one.applied_step for one in rig.decisions[:2]] == [1, 11]
    assert isinstance(refused, ResourceExhausted)
    assert "at step 21" in str(refused)
    assert isinstance(released, Decision)
    assert rig.steering.interventions["cool_down_steps"] > 5


def test_operators_may_only_ask_so_often_but_always_release(make_rig: Any) -> None:
    rig = make_rig({"all": lambda step: 0.1}, max_changes_per_minute=2)
    rig.run_to(0)
    rig.ask(Verb.SCALE, 0.5)
    rig.ask(Verb.SCALE, 0.5)

    refused = rig.ask(Verb.SCALE, 0.5)

    assert isinstance(refused, ResourceExhausted)
    assert "max_changes_per_minute is 2" in str(refused)
    assert isinstance(rig.ask(Verb.RELEASE), Decision)


def test_a_group_can_have_bounds_of_its_own(make_rig: Any) -> None:
    rig = make_rig(max_lr=0.3, groups={"head": {"max_lr": 5.0}})
    rig.run_to(0)

    decision = rig.ask(Verb.SET, 1.0)

    assert [group.new for group in decision.groups] == [0.3, 1.0]


def test_a_dry_run_says_what_would_be_and_changes_nothing(make_rig: Any) -> None:
    rig = make_rig(max_lr=0.3, max_drift=3.0)
    rig.run_to(5)
    before = rig.steering.states()

    shown = rig.ask(Verb.SCALE, 2.0, dry_run=True)
    done = rig.ask(Verb.SCALE, 2.0)

    assert rig.decisions == [done]
    assert shown.groups == done.groups
    assert shown.guardrails == ("max_lr",)
    assert before[0].learning_rate == 0.1
