"""The law itself: parts that multiply, a history without gaps, plug-ins that cannot hurt."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rheostat.steering.records import Decision, Verb
from rheostat_policies import KEEP, Action, Observation


class Scripted:
    """A policy that answers from a list, by step; an exception in the list is raised."""

    def __init__(self, answers: dict[int, Any]) -> None:
        self.answers = answers

    def initial_state(self, run: Any) -> int:
        return 0

    def decide(self, state: int, observation: Observation) -> tuple[Action, int]:
        answer = self.answers.get(observation.step, KEEP)
        if isinstance(answer, Exception):
            raise answer
        return answer, state + 1


VERBS = st.one_of(
    st.tuples(st.just(Verb.SCALE), st.floats(0.1, 3), st.none()),
    st.tuples(st.just(Verb.SET), st.floats(1e-3, 1), st.none()),
    st.tuples(st.just(Verb.HOLD), st.floats(1e-3, 1), st.none()),
    st.tuples(st.just(Verb.RAMP), st.floats(1e-3, 1), st.integers(1, 20)),
    st.tuples(st.just(Verb.RELEASE), st.none(), st.none()),
)
PLANS = st.lists(
    st.tuples(
        st.integers(0, 60),
        VERBS,
        st.sampled_from([(), ("body",), ("head",)]),
        st.one_of(st.none(), st.integers(1, 30)),
    ),
    max_size=8,
)


def play(rig: Any, plan: Any, steps: int = 80) -> list[tuple[float, ...]]:
    """Run a plan of (step, wish, groups, expiry) and return the LRs of every step."""
    seen = []
    for step in range(steps):
        rig.run_to(step)
        for at, (verb, value, ramp), groups, expiry in plan:
            if at == step:
                expires = None if verb is Verb.RELEASE else expiry
                rig.ask(verb, value, steps=ramp, groups=groups, expires_after_steps=expires)
        for state, lr in zip(rig.steering.states(), rig.steering.learning_rates, strict=True):
            whole = state.base * (math.prod(state.factors.values()) * state.operator)
            expected = whole if state.hold is None else state.hold
            if not state.guardrails:
                assert lr == expected, "the parts make the whole"
            assert state.learning_rate == lr
        seen.append(tuple(rig.steering.learning_rates))
    return seen


def policies() -> dict[str, Any]:
    first = Scripted({5: Action(factor=0.5, ramp_steps=10), 40: Action(factor={"head": 2.0})})
    return {"first": first, "second": Scripted({20: Action(factor=1.5)})}


@given(plan=PLANS)
@settings(deadline=None)
def test_the_parts_make_the_whole_at_every_step(make_rig: Any, plan: Any) -> None:
    play(make_rig(policies=policies()), plan)


@given(plan=PLANS)
@settings(deadline=None)
def test_the_history_has_no_gaps_and_explains_every_jump(make_rig: Any, plan: Any) -> None:
    rig = make_rig(policies=policies())

    play(rig, plan)

    assert [one.revision for one in rig.decisions] == list(range(1, len(rig.decisions) + 1))
    steps = [one.applied_step for one in rig.decisions]
    assert steps == sorted(steps)
    latest: dict[tuple[int, str], float] = {}
    for decision in rig.decisions:
        for group in decision.groups:
            key = (decision.applied_step, group.name)
            if key in latest:
                assert group.old == latest[key], "what one left is what the next one found"
            latest[key] = group.new


@given(plan=PLANS)
@settings(deadline=None)
def test_the_same_wishes_give_the_same_lrs(make_rig: Any, plan: Any) -> None:
    first = play(make_rig(policies=policies()), plan)
    second = play(make_rig(policies=policies()), plan)

    assert first == second


@given(plan=PLANS)
@settings(deadline=None)
def test_everything_expires_back_to_the_schedule_alone(make_rig: Any, plan: Any) -> None:
    rig = make_rig()
    plan = [(at, wish, groups, expiry or 5) for at, wish, groups, expiry in plan]
    plan = [one for one in plan if one[1][0] is not Verb.RELEASE]

    seen = play(rig, plan, steps=100)

    assert seen[-1] == (0.1, 0.2)


def test_data_of_step_k_decides_the_lr_of_step_k_plus_1(make_rig: Any) -> None:
    rig = make_rig({"all": lambda step: 0.1}, {"p": Scripted({7: Action(factor=0.5)})})

    assert rig.lrs([7, 8, 9]) == [0.1, 0.05, 0.05]
    assert rig.decisions[0].applied_step == 8
    assert rig.decisions[0].source == "policy:p"


def test_a_policy_cannot_touch_anothers_factor(make_rig: Any) -> None:
    answers = {3: Action(factor=0.5), 6: Action(factor=2.0)}
    rig = make_rig({"all": lambda step: 0.1}, {"p": Scripted(answers), "q": Scripted({})})

    rig.run_to(10)

    assert rig.steering.states()[0].factors == {"p": 2.0, "q": 1.0}


@pytest.mark.parametrize(
    "nonsense",
    [
        RuntimeError("boom"),
        Action(factor=math.nan),
        Action(factor=math.inf),
        Action(factor=-1.0),
        Action(factor=0.0),
        Action(factor={"nobody": 0.5}),
        Action(factor=0.5, ramp_steps=0),
        Action(factor="half"),  # type: ignore[arg-type]
        None,
    ],
    ids=str,
)
def test_a_policy_that_fails_keeps_its_state_and_factor(make_rig: Any, nonsense: Any) -> None:
    rig = make_rig({"all": lambda step: 0.1}, {"p": Scripted({2: Action(factor=0.5), 5: nonsense})})

    lrs = rig.lrs(range(10))

    policy = rig.steering.roster.policies[0]
    assert lrs[3:] == [0.05] * 7
    assert policy.record.outcomes == {"kept": 7, "changed": 1, "failed": 1}
    assert policy.state == 8, "the state of the failed step was not taken"
    assert policy.record.last_failure


def test_factors_come_by_name_whoever_was_first(make_rig: Any) -> None:
    answers = {1: Action(factor=0.7), 2: Action(factor=0.1), 3: Action(factor=1.3)}
    one, other = (
        make_rig({"all": lambda step: 0.1}, {name: Scripted(answers) for name in names})
        for names in ("abc", "cab")
    )

    assert one.lrs(range(9)) == other.lrs(range(9))
    assert [*other.steering.states()[0].factors] == ["a", "b", "c"]


def test_changes_at_one_boundary_are_ordered_and_written_once(make_rig: Any) -> None:
    rig = make_rig({"all": lambda step: 0.1})
    rig.run_to(4)

    first = rig.ask(Verb.SCALE, 0.5, principal="ada")
    second = rig.ask(Verb.SCALE, 0.5, principal="bob")

    assert isinstance(first, Decision)
    assert (first.groups[0].old, first.groups[0].new) == (0.1, 0.05)
    assert (second.groups[0].old, second.groups[0].new) == (0.05, 0.025)
    assert (first.revision, second.revision) == (1, 2)


def test_lrs_that_somebody_keeps_do_not_change_afterwards(make_rig: Any) -> None:
    rig = make_rig({"all": lambda step: 0.1})
    kept = rig.run_to(4)
    rig.step = 5
    rig.steering.advance(5, None)

    rig.ask(Verb.SCALE, 0.5)

    assert kept == [0.1]
    assert rig.steering.learning_rates == [0.05]


def test_the_decisions_in_force_are_those_that_still_act(make_rig: Any) -> None:
    rig = make_rig({"all": lambda step: 0.1})
    rig.run_to(0)
    rig.ask(Verb.SCALE, 0.5, expires_after_steps=3)
    rig.ask(Verb.HOLD, 0.01)

    before = rig.steering.revisions_in_force()
    rig.run_to(5)

    assert before == (1, 2)
    assert rig.steering.revisions_in_force() == (2,)


def test_a_policy_sees_the_lrs_its_base_and_its_own_factor_of_the_step_it_is_told_of(
    make_rig: Any,
) -> None:
    seen: list[Observation] = []

    class Watching(Scripted):
        def decide(self, state: int, observation: Observation) -> tuple[Action, int]:
            seen.append(observation)
            return super().decide(state, observation)

    rig = make_rig({"all": lambda step: 0.1 + step}, {"p": Watching({2: Action(factor=0.5)})})
    lrs = rig.lrs(range(6))

    assert [one.step for one in seen] == [0, 1, 2, 3, 4]
    assert [one.learning_rate["all"] for one in seen] == lrs[:5]
    assert [one.base["all"] for one in seen] == [0.1 + step for step in range(5)]
    assert [one.factor["all"] for one in seen] == [1.0, 1.0, 1.0, 0.5, 0.5]
