"""What steering remembers: given to another at any step, nobody sees a difference."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.errors import FailedPrecondition, RheostatError
from rheostat.spec.schedules import ScheduleSpec
from rheostat.steering import policies
from rheostat.steering.guardrails import COOL_DOWN_STEPS
from rheostat.steering.memory import SteeringMemory
from rheostat.steering.records import (
    Change,
    Decision,
    PolicyEdit,
    RemoteTerms,
    ScheduleEdit,
    Verb,
)
from rheostat.steering.remembering import recall, remember
from rheostat.steering.script import Script
from rheostat_policies import KEEP, POLICIES, Action, Observation

STEPS = 60
INSIDE, FAR = "loss_spike", "far"
SCHEDULES = {
    "body": ScheduleSpec(name="warmup_cosine", args={"warmup_steps": 8}),
    "head": ScheduleSpec(name="StepLR", args={"step_size": 20, "gamma": 0.3}),
}
GUARDRAILS = {
    "max_ratio_per_step": 1.8,
    "max_ratio_per_window": {"ratio": 6.0, "steps": 5},
    "max_drift": 3.0,
    "cool_down_steps": 2,
}


@pytest.fixture(scope="module", autouse=True)
def _nobody_is_slow() -> Iterator[None]:
    """Keep the clock out of it: a busy machine must not make a policy late."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policies, "perf_counter", lambda: 0.0)
        yield


def loss_at(step: int) -> float:
    """Return a loss that falls, and jumps now and then."""
    return 2.0 * 0.98**step + (3.0 if step % 13 == 12 else 0.1 * math.sin(step))


def a_rig(make_rig: Any, **guardrails: Any) -> Any:
    built_in = {
        "greedy": POLICIES["greedy"](patience=2),
        "plateau": POLICIES["plateau"](metric="train_loss", patience=3, factor=0.5),
    }
    rig = make_rig(dict(SCHEDULES), built_in, steps=STEPS, **(GUARDRAILS | guardrails))
    rig.shop[INSIDE] = POLICIES["loss_spike"](warmup_steps=5, hold_steps=4, ramp_steps=3)
    return rig


@dataclass
class Trace:
    """What was to be seen of a run from some step on."""

    learning_rates: dict[int, list[float]] = field(default_factory=dict)
    states: dict[int, Any] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)

    def after(self, step: int) -> "Trace":
        return Trace(
            {one: lrs for one, lrs in self.learning_rates.items() if one > step},
            {one: states for one, states in self.states.items() if one > step},
            [one for one in self.decisions if one.applied_step > step],
        )


Plan = Mapping[int, list[Any]]
"""By step: changes, answers (actions) and disappearances (None) of the remote policy."""


def play(rig: Any, first: int, last: int, plan: Plan) -> Trace:
    """Take steps, with all that happens at them."""
    trace, steering, known = Trace(), rig.steering, len(rig.decisions)
    for step in range(first, last):
        rig.step = step
        measured = (step - 1, steering.steps, loss_at(step), None, None, None, None)
        steering.advance(step, measured if step else None)
        rig.settle()
        for one in plan.get(step, []):
            if isinstance(one, Change):
                rig.submit(one)
            elif one is None:
                steering.vanish(FAR)
            else:
                steering.answer(FAR, step - 1, one)
            rig.settle()
        trace.learning_rates[step] = list(steering.learning_rates)
        trace.states[step] = (steering.states(), steering.revisions_in_force(), steering.steps)
    trace.decisions = rig.decisions[known:]
    return trace


def untimed(decisions: Iterable[Decision]) -> list[Decision]:
    """Return decisions without their times: each rig has a clock of its own."""
    return [msgspec.structs.replace(one, time=0.0) for one in decisions]


def through_json(memory: SteeringMemory) -> SteeringMemory:
    text = json.dumps(msgspec.to_builtins(memory))
    return msgspec.convert(json.loads(text), SteeringMemory)


def comparable(rig: Any) -> str:
    """Return all that is remembered but for clocks, as text in which NaN equals NaN.

    How often a remote policy kept everything, or came while a group cooled down, is told nowhere.
    """
    memory = msgspec.to_builtins(remember(rig.steering))
    memory["change_times"] = []
    memory["interventions"].pop(COOL_DOWN_STEPS, None)
    for policy in memory["policies"]:
        if policy["remote"] is not None:
            policy["outcomes"] = policy["in_a_row"] = None
    return json.dumps(memory)


def go_on(make_rig: Any, memory: SteeringMemory) -> Any:
    """Return another rig, brought to where a memory was taken."""
    rig = a_rig(make_rig)
    recall(rig.steering, through_json(memory))
    rig.step = memory.step
    return rig


# --- the laws ----------------------------------------------------------------------------------

FACTORS = st.floats(0.3, 3.0)
LENGTHS, GROUPS = st.integers(1, 12), st.sampled_from([(), ("body",), ("head",)])
LASTING = {"groups": GROUPS, "expires_after_steps": st.none() | LENGTHS}
WISHES = st.one_of(
    st.builds(Change, verb=st.just(Verb.SCALE), value=FACTORS, **LASTING),
    st.builds(Change, verb=st.just(Verb.SET), value=st.floats(1e-3, 0.5), **LASTING),
    st.builds(Change, verb=st.just(Verb.HOLD), value=st.floats(1e-3, 0.5), **LASTING),
    st.builds(
        Change, verb=st.just(Verb.RAMP), value=st.floats(1e-3, 0.5), steps=LENGTHS, **LASTING
    ),
    st.builds(Change, verb=st.just(Verb.RELEASE), groups=GROUPS),
)
SWAP = ScheduleEdit(schedule="linear", args="{}")
EDITS = st.one_of(
    st.builds(Change, verb=st.just(Verb.SWAP), edit=st.just(SWAP), groups=GROUPS),
    st.builds(
        Change,
        verb=st.just(Verb.HORIZON),
        edit=st.builds(ScheduleEdit, steps=st.integers(STEPS, 90)),
    ),
    st.builds(
        Change,
        verb=st.just(Verb.COOLDOWN),
        edit=st.builds(ScheduleEdit, steps=st.none() | LENGTHS),
        groups=GROUPS,
    ),
    st.builds(
        Change,
        verb=st.just(Verb.REWARM),
        edit=st.builds(ScheduleEdit, steps=LENGTHS),
        groups=GROUPS,
    ),
)
TERMS = RemoteTerms(hold_steps=3, relax_steps=4)
ATTACHED = st.sampled_from([PolicyEdit(policy=INSIDE), PolicyEdit(policy=INSIDE, shadow=True)])
POLICY_WISHES = st.one_of(
    st.builds(Change, verb=st.just(Verb.ATTACH), policy=ATTACHED),
    st.just(Change(verb=Verb.ATTACH, policy=PolicyEdit(policy=FAR, remote=TERMS))),
    st.builds(
        Change,
        verb=st.sampled_from([Verb.DETACH, Verb.SHADOW, Verb.ENGAGE, Verb.REVIVE]),
        policy=st.builds(
            PolicyEdit, policy=st.sampled_from([INSIDE, "greedy", "plateau"]), ramp_steps=LENGTHS
        ),
    ),
    st.builds(
        Change,
        verb=st.just(Verb.DETACH),
        policy=st.builds(PolicyEdit, policy=st.just(FAR), ramp_steps=LENGTHS),
    ),
)
ANSWERS = st.builds(Action, factor=FACTORS, ramp_steps=LENGTHS, reason=st.just("says so"))
EVENTS = st.one_of(WISHES, EDITS, POLICY_WISHES, ANSWERS, ANSWERS, st.none())
PLANS = st.dictionaries(st.integers(0, STEPS - 5), st.lists(EVENTS, min_size=1, max_size=3))


@given(plan=PLANS, at=st.integers(0, STEPS - 2))
def test_steering_goes_on_from_its_memory_as_if_nothing_had_happened(
    make_rig: Any, plan: Plan, at: int
) -> None:
    rig = a_rig(make_rig)
    play(rig, 0, at + 1, plan)
    memory = remember(rig.steering)
    left_alone = play(rig, at + 1, STEPS, plan)

    other = go_on(make_rig, memory)
    went_on = play(other, at + 1, STEPS, plan)

    assert went_on.learning_rates == left_alone.learning_rates
    assert went_on.states == left_alone.states
    assert untimed(went_on.decisions) == untimed(left_alone.decisions)
    assert comparable(other) == comparable(rig)


@given(plan=PLANS, at=st.integers(-1, STEPS - 20), more=st.integers(1, 18))
def test_what_was_decided_after_a_memory_happens_again_without_anybody_who_asks(
    make_rig: Any, plan: Plan, at: int, more: int
) -> None:
    end = at + 1 + more
    rig = a_rig(make_rig)
    play(rig, 0, at + 1, plan)
    memory = remember(rig.steering) if at >= 0 else None
    first_time = play(rig, at + 1, end, plan)
    left_alone = play(rig, end, STEPS, plan)

    other = a_rig(make_rig) if memory is None else go_on(make_rig, memory)
    other.steering.follow(Script(first_time.decisions, steps_done=end))
    other.settle()
    again = play(other, at + 1, end, {})

    assert again.decisions == [], "nothing is told twice"
    assert other.steering.ledger.script.differences == []
    assert again.learning_rates == first_time.learning_rates
    assert again.states == first_time.states
    went_on = play(other, end, STEPS, plan)
    assert went_on.learning_rates == left_alone.learning_rates
    assert untimed(went_on.decisions) == untimed(left_alone.decisions)
    assert comparable(other) == comparable(rig)


# --- what chance seldom brings about -----------------------------------------------------------


class Counting:
    """Counts what it sees, fails where it is told to, and acts on the count."""

    def __init__(self, failing: Iterable[int] = (), acting: Mapping[int, float] | None = None):
        self.failing, self.acting = set(failing), acting or {}

    def initial_state(self, run: Any) -> int:
        return 0

    def decide(self, state: int, observation: Observation) -> tuple[Action, int]:
        if observation.step in self.failing:
            raise RuntimeError("boom")
        factor = self.acting.get(observation.step)
        return (KEEP if factor is None else Action(factor=factor)), state + 1


FLAT = {"all": lambda step: 0.1}


def flat(make_rig: Any, policy: Any = None) -> Any:
    return make_rig(dict(FLAT), {} if policy is None else {"counting": policy}, steps=STEPS)


def brought_to(rig: Any, memory: SteeringMemory) -> Any:
    recall(rig.steering, through_json(memory))
    rig.step = memory.step
    return rig


def test_a_remote_policy_that_vanished_before_is_let_go_at_its_step(make_rig: Any) -> None:
    rig = flat(make_rig)
    terms = RemoteTerms(hold_steps=6, relax_steps=3)
    attach = Change(verb=Verb.ATTACH, policy=PolicyEdit(policy=FAR, remote=terms))
    play(rig, 0, 6, {0: [attach], 3: [Action(factor=0.5)], 5: [None]})
    memory = remember(rig.steering)
    left_alone = play(rig, 6, 20, {})

    went_on = play(brought_to(flat(make_rig), memory), 6, 20, {})

    assert [one.verb for one in went_on.decisions] == ["relax"]
    assert went_on.learning_rates == left_alone.learning_rates
    assert went_on.learning_rates[19] == [0.1]


def test_offences_in_a_row_are_counted_across_an_interruption(make_rig: Any) -> None:
    policy = Counting(failing=range(3, 20))
    rig = flat(make_rig, policy)
    play(rig, 0, 6, {})

    other = brought_to(flat(make_rig, policy), remember(rig.steering))
    decisions = play(other, 6, 20, {}).decisions

    assert [(one.verb, one.applied_step) for one in decisions] == [("bench", 8)]


def test_the_pace_of_changes_is_that_of_the_last_minute_across_an_interruption(
    make_rig: Any,
) -> None:
    rig = a_rig(make_rig, max_changes_per_minute=2, cool_down_steps=0)
    rig.begin(3)
    assert isinstance(rig.ask(Verb.SCALE, 0.5), Decision)
    assert isinstance(rig.ask(Verb.SCALE, 0.5), Decision)

    other = a_rig(make_rig, max_changes_per_minute=2, cool_down_steps=0)
    brought_to(other, remember(rig.steering))
    other.begin(4)

    assert "max_changes_per_minute" in str(other.ask(Verb.SCALE, 0.5))


def test_a_state_that_json_does_not_take_is_refused_and_its_policy_named(make_rig: Any) -> None:
    rig = flat(make_rig, Counting())
    rig.run_to(2)
    rig.steering.roster.policies[0].state = {1, 2}

    with pytest.raises(FailedPrecondition, match="state of policy counting"):
        remember(rig.steering)


def test_a_state_keeps_numbers_that_are_not_finite(make_rig: Any) -> None:
    rig = flat(make_rig, Counting())
    rig.run_to(2)
    rig.steering.roster.policies[0].state = [math.nan, math.inf, 0.1]

    other = brought_to(flat(make_rig, Counting()), remember(rig.steering))

    assert str(other.steering.roster.policies[0].state) == "[nan, inf, 0.1]"


def test_a_memory_of_other_groups_is_refused(make_rig: Any) -> None:
    rig = flat(make_rig)
    rig.run_to(2)

    with pytest.raises(RheostatError, match="groups all, and this one has body, head"):
        recall(a_rig(make_rig).steering, remember(rig.steering))


# --- the script --------------------------------------------------------------------------------


def test_an_answer_that_the_clock_dropped_is_dropped_again_and_nobody_else_is_late(
    make_rig: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = Counting(acting={4: 0.5, 6: 0.25})
    rig = flat(make_rig, policy)
    play(rig, 0, 5, {})
    seconds = iter([0.0, 1.0])
    monkeypatch.setattr(policies, "perf_counter", lambda: next(seconds))
    play(rig, 5, 6, {})
    offences = rig.steering.roster.take_offences()
    monkeypatch.setattr(policies, "perf_counter", lambda: 0.0)
    play(rig, 6, 10, {})
    assert [(one.step, one.outcome) for one in offences] == [(4, "slow")]
    assert rig.steering.learning_rates == [0.025], "the answer of step 4 was dropped"

    ticks = iter(range(1000))
    monkeypatch.setattr(policies, "perf_counter", lambda: float(next(ticks)))
    other = flat(make_rig, policy)
    other.steering.follow(Script(rig.decisions, offences, steps_done=10))
    play(other, 0, 10, {})

    assert comparable(other) == comparable(rig)


def test_a_policy_that_would_decide_otherwise_is_overruled_and_that_is_told(make_rig: Any) -> None:
    rig = flat(make_rig, Counting(acting={4: 0.5}))
    play(rig, 0, 10, {})

    other = flat(make_rig, Counting(acting={2: 0.9, 4: 0.4}))
    other.steering.follow(Script(rig.decisions, steps_done=10))
    trace = play(other, 0, 10, {})

    assert trace.decisions == []
    assert trace.learning_rates[9] == [0.05]
    first, second = other.steering.ledger.script.differences
    assert "at step 3, made again after an interruption, policy counting would decide" in first
    assert "at step 5" in second


def test_nothing_new_is_decided_while_the_script_lasts(make_rig: Any) -> None:
    rig = flat(make_rig, Counting())
    play(rig, 0, 10, {4: [Change(verb=Verb.SCALE, value=0.5)]})

    other = flat(make_rig, Counting(acting={7: 0.9, 12: 0.8}))
    other.steering.follow(Script(rig.decisions, steps_done=10))
    play(other, 0, 10, {})
    assert not other.steering.is_live()
    trace = play(other, 10, 14, {})

    assert other.steering.is_live()
    assert [(one.revision, one.applied_step) for one in trace.decisions] == [(2, 13)]


def test_a_remote_policy_engaged_after_deciding_in_shadow_has_the_factor_of_the_record(
    make_rig: Any,
) -> None:
    rig = flat(make_rig)
    edit = PolicyEdit(policy=FAR, remote=TERMS, shadow=True)
    engage = Change(verb=Verb.ENGAGE, policy=PolicyEdit(policy=FAR))
    plan = {0: [Change(verb=Verb.ATTACH, policy=edit)], 3: [Action(factor=0.5)], 6: [engage]}
    first_time = play(rig, 0, 10, plan)
    assert first_time.learning_rates[9] == [0.05]

    other = flat(make_rig)
    other.steering.follow(Script(rig.decisions, steps_done=10))
    again = play(other, 0, 10, {})

    assert again.learning_rates == first_time.learning_rates


def test_a_change_that_cannot_be_made_again_is_an_error_that_says_why(make_rig: Any) -> None:
    rig = flat(make_rig)
    rig.shop["shop:counting"] = Counting()
    attach = Change(verb=Verb.ATTACH, policy=PolicyEdit(policy="shop:counting"))
    play(rig, 0, 5, {2: [attach]})

    other = flat(make_rig)
    other.steering.follow(Script(rig.decisions))

    with pytest.raises(RheostatError, match="shop"):
        play(other, 0, 5, {})
