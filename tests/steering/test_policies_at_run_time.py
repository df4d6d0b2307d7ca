"""Policies that come, go, decide in shadow and misbehave while the run trains."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.errors import FailedPrecondition, InvalidRequest, ResourceExhausted
from rheostat.steering import policies
from rheostat.steering.policies import BENCH_AFTER, SLOW_SECONDS, AttachedPolicy, PolicyHangs
from rheostat.steering.records import PolicyEdit, Verb
from rheostat.steering.roster import MAX_POLICIES
from rheostat_policies import KEEP, Action, Observation

PEAK = 0.1
NAME = "shop:policy"


class Scripted:
    """A policy that answers from a list, by step; what is callable is called, and may raise."""

    def __init__(self, answers: dict[int, Any] | None = None) -> None:
        self.answers = answers or {}
        self.seen: list[Observation] = []

    def initial_state(self, run: Any) -> int:
        return 0

    def decide(self, state: int, observation: Observation) -> tuple[Action, int]:
        self.seen.append(observation)
        answer = self.answers.get(observation.step, KEEP)
        return answer() if callable(answer) else (answer, state + 1)


def offence() -> Any:
    raise RuntimeError("boom")


def a_run(make_rig: Any, *, with_policy: Scripted | None = None, **more: Any) -> Any:
    """Return a run of a constant LR; a policy given is attached from the start."""
    attached = None if with_policy is None else {NAME: with_policy}
    return make_rig({"all": lambda step: PEAK}, attached, **more)


def ask(rig: Any, verb: Verb, policy: str = NAME, **wish: Any) -> Any:
    """Ask for a change of a policy; what an edit has no field for is the change's own."""
    names = PolicyEdit.__struct_fields__
    fields = {name: value for name, value in wish.items() if name not in names}
    edit = PolicyEdit(policy=policy, **{name: wish[name] for name in names if name in wish})
    return rig.ask(verb, policy=edit, **fields)


def attach(rig: Any, policy: Scripted, name: str = NAME, **wish: Any) -> Any:
    rig.shop[name] = policy
    return ask(rig, Verb.ATTACH, name, **wish)


def factors(rig: Any) -> dict[str, float]:
    return dict(rig.steering.states()[0].factors)


def status(rig: Any) -> Any:
    [one] = rig.steering.roster.statuses()
    return one


# --- attach ------------------------------------------------------------------------------------


def test_an_attached_policy_starts_at_1_and_sees_the_step_it_came_in(make_rig: Any) -> None:
    policy = Scripted({7: Action(factor=0.5)})
    rig = a_run(make_rig)
    rig.begin(5)

    decision = attach(rig, policy, reason="it is noisy")
    lrs = rig.lrs([6, 7, 8, 9])

    assert (decision.verb, decision.source, decision.applied_step) == ("attach", "operator", 5)
    assert decision.policy == PolicyEdit(policy=NAME)
    [group] = decision.groups
    assert (group.old, group.new, group.factors) == (PEAK, PEAK, {NAME: 1.0})
    assert [one.step for one in policy.seen] == [5, 6, 7, 8]
    assert lrs == [PEAK, PEAK, PEAK * 0.5, PEAK * 0.5]


def test_a_built_in_is_attached_by_name_with_arguments(make_rig: Any) -> None:
    rig = a_run(make_rig)
    rig.begin(0)

    ask(rig, Verb.ATTACH, "plateau", args='{"metric": "train_loss", "patience": 3, "factor": 0.25}')
    rig.run_to(8)

    assert factors(rig) == {"plateau": 0.25}, "the loss has not moved for longer than its patience"


@pytest.mark.parametrize(
    ("policy", "args", "field", "value", "expected"),
    [
        ("plateu", "", "policy", "plateu", "did you mean plateau?"),
        ("", "", "policy", "", "a name, as in a spec"),
        ("plateau", '{"patience": -1}', "args.patience", "-1", "must be"),
        ("plateau", '{"patince": 1}', "args.patince", "1", "did you mean patience?"),
        ("plateau", "[1]", "args", "[1]", "a JSON object"),
        ("plateau", "{", "args", "{", "a JSON object"),
    ],
)
def test_a_policy_that_cannot_be_made_is_refused_by_field(
    make_rig: Any, policy: str, args: str, field: str, value: str, expected: str
) -> None:
    rig = a_run(make_rig)
    rig.begin(0)

    refused = ask(rig, Verb.ATTACH, policy, args=args)

    assert isinstance(refused, InvalidRequest)
    [violation] = refused.violations
    assert (violation.field, violation.value) == (field, value)
    assert expected in violation.expected
    assert rig.steering.roster.policies == ()
    assert factors(rig) == {}


def test_a_name_is_attached_once(make_rig: Any) -> None:
    rig = a_run(make_rig, with_policy=Scripted())
    rig.begin(0)

    refused = attach(rig, Scripted())

    assert isinstance(refused, FailedPrecondition)
    assert "is attached already; detach it first" in str(refused)


def test_there_is_an_end_to_how_many_can_be_attached(make_rig: Any) -> None:
    rig = a_run(make_rig)
    rig.begin(0)
    for index in range(MAX_POLICIES):
        attach(rig, Scripted(), f"shop:policy_{index}")

    refused = attach(rig, Scripted())

    assert isinstance(refused, FailedPrecondition)
    assert f"the run has {MAX_POLICIES} policies; detach one first" in str(refused)


def test_an_attachment_waits_for_its_step(make_rig: Any) -> None:
    policy = Scripted()
    rig = a_run(make_rig)
    rig.begin(0)

    attach(rig, policy, at_step=4)
    rig.run_to(6)

    assert [one.step for one in policy.seen] == [4, 5]


def test_a_dry_run_attaches_nothing(make_rig: Any) -> None:
    rig = a_run(make_rig)
    rig.begin(3)

    decision = attach(rig, Scripted({4: Action(factor=0.5)}), dry_run=True)

    assert decision.groups[0].factors == {NAME: 1.0}
    assert rig.run_to(6) == [PEAK]
    assert (rig.steering.roster.policies, factors(rig), rig.decisions) == ((), {}, [])


def test_groups_that_cool_down_let_a_policy_in_but_not_act(make_rig: Any) -> None:
    policy = Scripted({5: Action(factor=0.5), 20: Action(factor=0.25)})
    rig = a_run(make_rig, cool_down_steps=10)
    rig.begin(3)
    rig.ask(Verb.SCALE, 0.5)

    attached = attach(rig, policy)

    assert not isinstance(attached, ResourceExhausted)
    assert rig.lrs([6, 21]) == [PEAK * 0.5, PEAK * 0.5 * 0.25]
    assert rig.steering.interventions == {"cool_down_steps": 1}


# --- detach ------------------------------------------------------------------------------------


def test_a_detached_policy_takes_its_factor_along(make_rig: Any) -> None:
    policy = Scripted({2: Action(factor=0.5)})
    rig = a_run(make_rig, with_policy=policy)
    rig.begin(6)

    decision = ask(rig, Verb.DETACH)
    lrs = [rig.steering.learning_rates[0], *rig.lrs([7, 8])]

    assert [(one.old, one.new) for one in decision.groups] == [(PEAK * 0.5, PEAK)]
    assert lrs == [PEAK] * 3
    assert len(policy.seen) == 6, "nobody asks it any more"
    assert factors(rig) == {}
    assert rig.steering.revisions_in_force() == ()


@pytest.mark.parametrize("steps", [1, 2, 10])
def test_a_detached_policys_factor_walks_to_1_in_the_steps_given_and_is_gone(
    make_rig: Any, steps: int
) -> None:
    rig = a_run(make_rig, with_policy=Scripted({2: Action(factor=0.25)}))
    rig.begin(6)

    ask(rig, Verb.DETACH, ramp_steps=steps)
    walked = [rig.steering.learning_rates[0], *rig.lrs(range(7, 6 + steps))]

    expected = [PEAK * 0.25 ** (1 - done / steps) for done in range(1, steps + 1)]
    assert walked == pytest.approx(expected, rel=1e-14)
    assert rig.run_to(6 + steps) == [PEAK]
    assert factors(rig) == {}


def test_a_policy_that_comes_back_during_its_ramp_finds_its_factor_where_it_is(
    make_rig: Any,
) -> None:
    rig = a_run(make_rig, with_policy=Scripted({2: Action(factor=0.25)}))
    rig.begin(6)
    ask(rig, Verb.DETACH, ramp_steps=10)
    rig.begin(10)
    standing = factors(rig)

    decision = attach(rig, again := Scripted())
    rig.run_to(30)

    assert standing == {NAME: pytest.approx(0.25**0.5)}
    assert factors(rig) == standing
    assert again.seen[0].factor == {"all": standing[NAME]}
    assert rig.steering.revisions_in_force() == (decision.revision,)


def test_a_policy_in_shadow_leaves_at_once_however_long_its_ramp(make_rig: Any) -> None:
    rig = a_run(make_rig)
    rig.begin(0)
    attach(rig, Scripted({2: Action(factor=0.5)}), shadow=True)
    rig.begin(6)

    ask(rig, Verb.DETACH, ramp_steps=10)

    assert (rig.steering.states()[0].shadows, rig.run_to(7)) == ({}, [PEAK])


@pytest.mark.parametrize("verb", [Verb.DETACH, Verb.SHADOW, Verb.ENGAGE, Verb.REVIVE])
def test_a_wish_for_a_policy_that_is_not_there_is_refused_with_those_that_are(
    make_rig: Any, verb: Verb
) -> None:
    rig = a_run(make_rig, with_policy=Scripted())
    rig.begin(0)

    refused = ask(rig, verb, "shop:polcy")

    assert isinstance(refused, InvalidRequest)
    [violation] = refused.violations
    assert (violation.field, violation.value) == ("policy", "shop:polcy")
    assert f"one of the run's policies ({NAME}); did you mean {NAME}?" == violation.expected


# --- shadow ------------------------------------------------------------------------------------

FACTORS = st.builds(Action, factor=st.floats(0.01, 100), ramp_steps=st.integers(1, 20))
ANSWERS = st.dictionaries(st.integers(0, 30), FACTORS, max_size=5)


@given(answers=ANSWERS, others=ANSWERS, scaled_at=st.integers(0, 30), spared=st.integers(0, 30))
def test_a_policy_in_shadow_never_changes_an_lr(
    make_rig: Any, answers: Any, others: Any, scaled_at: int, spared: int
) -> None:
    def lrs(watched: Callable[[Any, int], None]) -> list[float]:
        rig = a_run(make_rig, with_policy=Scripted(others), min_lr=1e-3, max_lr=1.0)
        seen = []
        for step in range(40):
            rig.begin(step)
            watched(rig, step)
            if step == scaled_at:
                rig.ask(Verb.SCALE, 0.3)
            rig.settle()
            seen.append(rig.steering.learning_rates[0])
        return seen

    def in_shadow(rig: Any, step: int) -> None:
        if step == 0:
            attach(rig, Scripted(answers), "shop:shadow", shadow=True)
        if step == spared:
            ask(rig, Verb.SHADOW, "shop:shadow")

    assert lrs(in_shadow) == lrs(lambda rig, step: None)


@given(answers=ANSWERS, others=ANSWERS, scale=st.floats(0.1, 3), step=st.integers(1, 40))
def test_the_lr_of_a_shadow_is_what_engaging_it_then_gives(
    make_rig: Any, answers: Any, others: Any, scale: float, step: int
) -> None:
    rig = a_run(make_rig, with_policy=Scripted(others), min_lr=1e-3, max_lr=1.0)
    rig.begin(0)
    attach(rig, Scripted(answers), "shop:shadow", shadow=True)
    rig.ask(Verb.SCALE, scale)
    rig.begin(step)
    shadow = rig.steering.states()[0].shadows["shop:shadow"]

    decision = ask(rig, Verb.ENGAGE, "shop:shadow")

    assert decision.groups[0].new == shadow
    assert rig.steering.states()[0].shadows == {}


def test_a_shadow_knows_its_own_factor_though_it_does_not_act(make_rig: Any) -> None:
    policy = Scripted({2: Action(factor=0.5)})
    rig = a_run(make_rig)
    rig.begin(0)
    attach(rig, policy, shadow=True)
    rig.run_to(6)

    [state] = rig.steering.states()
    assert (state.learning_rate, state.factors, state.shadows) == (PEAK, {}, {NAME: PEAK * 0.5})
    assert [one.factor["all"] for one in policy.seen] == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5]
    assert (status(rig).shadow, status(rig).factors) == (True, {"all": 0.5})
    assert [one.verb for one in rig.decisions] == ["attach"], "what has no effect is no decision"


def test_under_a_hold_a_shadow_would_give_the_hold(make_rig: Any) -> None:
    rig = a_run(make_rig)
    rig.begin(0)
    attach(rig, Scripted({2: Action(factor=0.5)}), shadow=True)
    rig.ask(Verb.HOLD, 0.03)
    rig.run_to(6)

    assert rig.steering.states()[0].shadows == {NAME: 0.03}


def test_a_policy_put_into_shadow_and_engaged_again_is_where_it_was(make_rig: Any) -> None:
    rig = a_run(make_rig, with_policy=Scripted({2: Action(factor=0.7)}))
    rig.begin(6)
    ask(rig, Verb.SHADOW)
    silent = rig.run_to(9)
    in_force = rig.steering.revisions_in_force()

    rig.begin(10)
    engaged = ask(rig, Verb.ENGAGE)

    assert silent == [PEAK]
    assert in_force == ()
    assert rig.run_to(20) == [PEAK * 0.7]
    assert rig.steering.revisions_in_force() == (engaged.revision,)


def test_each_of_two_shadows_is_alone_with_those_that_act(make_rig: Any) -> None:
    rig = a_run(make_rig, with_policy=Scripted({1: Action(factor=2.0)}))
    rig.begin(0)
    attach(rig, Scripted({1: Action(factor=0.5)}), "shop:half", shadow=True)
    attach(rig, Scripted({1: Action(factor=0.25)}), "shop:quarter", shadow=True)
    rig.run_to(3)

    shadows = rig.steering.states()[0].shadows
    assert shadows == {"shop:half": PEAK, "shop:quarter": PEAK * 0.5}


# --- conduct -----------------------------------------------------------------------------------


def test_a_policy_sees_its_factor_of_the_step_it_is_told_of_while_that_moves(make_rig: Any) -> None:
    policy, other = Scripted({2: Action(factor=0.5, ramp_steps=4)}), Scripted()
    rig = make_rig({"all": lambda step: PEAK}, {"p": policy, "q": other})
    lrs = rig.lrs(range(9))

    assert [PEAK * one.factor["all"] for one in policy.seen] == lrs[:8]
    assert {one.factor["all"] for one in other.seen} == {1.0}


@pytest.mark.parametrize("spared", [False, True])
def test_too_many_offences_in_a_row_bench_a_policy(make_rig: Any, spared: bool) -> None:
    last = BENCH_AFTER + 1
    answers: dict[int, Any] = {1: Action(factor=0.5)}
    answers |= dict.fromkeys(range(2, last + 1), offence)
    if spared:
        answers[4] = KEEP
    policy = Scripted(answers)
    rig = a_run(make_rig, with_policy=policy)

    lrs = rig.lrs(range(2, 20))

    assert lrs == [PEAK * 0.5] * 18, "its factor stays"
    assert status(rig).benched is not spared
    assert len(policy.seen) == (19 if spared else last + 1)
    benched = [one for one in rig.decisions if one.verb == "bench"]
    assert len(benched) == (0 if spared else 1)
    if not spared:
        assert (benched[0].source, benched[0].applied_step) == (f"policy:{NAME}", last + 1)
        assert "RuntimeError: boom" in benched[0].reason


def test_a_revived_policy_is_asked_again_and_can_be_benched_again(make_rig: Any) -> None:
    policy = Scripted(dict.fromkeys((*range(0, 5), *range(31, 36)), offence))
    rig = a_run(make_rig, with_policy=policy)
    rig.begin(30)
    benched, asked = status(rig).benched, len(policy.seen)

    ask(rig, Verb.REVIVE)
    rig.run_to(40)

    assert (benched, asked) == (True, 5)
    assert [one.step for one in policy.seen[5:]] == [30, 31, 32, 33, 34, 35]
    assert [one.verb for one in rig.decisions] == ["bench", "revive", "bench"]
    assert status(rig).outcomes == {"kept": 1, "changed": 0, "failed": 10}


def test_a_slow_answer_is_dropped_with_its_state(
    make_rig: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0

    def dawdle() -> tuple[Action, int]:
        nonlocal now
        now += SLOW_SECONDS * 1.5
        return Action(factor=0.5), 99

    monkeypatch.setattr(policies, "perf_counter", lambda: now)
    policy = Scripted({2: dawdle})
    rig = a_run(make_rig, with_policy=policy)

    assert rig.run_to(6) == [PEAK]
    assert status(rig).outcomes == {"kept": 5, "changed": 0, "failed": 0, "slow": 1}
    assert status(rig).failure == "it took 0.15 s to decide"
    assert rig.steering.roster.policies[0].state == 5


def test_slow_answers_in_a_row_bench_a_policy_too(
    make_rig: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(1000))
    monkeypatch.setattr(policies, "perf_counter", lambda: float(next(ticks)))
    rig = a_run(make_rig, with_policy=Scripted())

    rig.run_to(20)

    assert status(rig).benched
    assert status(rig).outcomes["slow"] == BENCH_AFTER


def test_a_policy_that_hangs_is_interrupted_and_counted(make_rig: Any) -> None:
    @contextmanager
    def alarm() -> Iterator[None]:
        yield
        raise PolicyHangs("it did not return within 5 s and was interrupted")

    rig = a_run(make_rig)
    hanging = AttachedPolicy(NAME, Scripted(), rig.run, interrupt=alarm)
    rig = a_run(make_rig)
    rig.steering.roster.policies = (hanging,)
    rig.steering.groups[0].admit(NAME, is_shadow=False, revision=0)

    assert rig.run_to(3) == [PEAK]
    assert status(rig).outcomes["failed"] == 3
    assert "PolicyHangs: it did not return within 5 s" in status(rig).failure


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def raising(error: BaseException) -> Callable[[], Any]:
    def answer() -> Any:
        raise error

    return answer


NONSENSE = {
    "exit": raising(SystemExit(1)),
    "unprintable": raising(Unprintable()),
    "half a character": raising(RuntimeError("\udc80")),
    "a long story": raising(RuntimeError("x" * 10**6)),
    "no pair": lambda: KEEP,
    "no action": lambda: ({"factor": 0.5}, 0),
    "an endless ramp": lambda: (Action(factor=0.5, ramp_steps=math.nan), 0),  # type: ignore[arg-type]
    "half a step": lambda: (Action(factor=0.5, ramp_steps=2.5), 0),  # type: ignore[arg-type]
    "a huge integer": lambda: (Action(factor=10**400), 0),
    "no reason": lambda: (Action(factor=0.5, reason=None), 0),  # type: ignore[arg-type]
    "half a reason": lambda: (Action(factor=0.5, reason="\udc80"), 0),
    "too many reasons": lambda: (Action(factor=0.5, reason="x" * 10**6), 0),
}


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_nonsense_is_contained_and_what_is_told_of_it_fits_into_a_message(
    make_rig: Any, nonsense: str
) -> None:
    rig = a_run(make_rig, with_policy=Scripted({2: NONSENSE[nonsense]}))

    assert rig.run_to(6) == [PEAK]
    assert status(rig).outcomes == {"kept": 5, "changed": 0, "failed": 1}
    assert rig.steering.roster.policies[0].state == 5
    assert 0 < len(msgspec.msgpack.encode(status(rig))) < 5000


def test_an_operator_who_interrupts_the_program_is_not_an_offence(make_rig: Any) -> None:
    rig = a_run(make_rig, with_policy=Scripted({2: raising(KeyboardInterrupt())}))

    with pytest.raises(KeyboardInterrupt):
        rig.run_to(6)


@pytest.mark.parametrize(
    "action",
    [
        Action(factor=np.float64(0.5), ramp_steps=np.int64(1)),
        Action(factor={"all": np.float64(0.5)}),
        Action(factor=10**30),
    ],
    ids=["float64", "by group", "a large integer"],
)
def test_numbers_of_any_make_become_ours(make_rig: Any, action: Action) -> None:
    rig = a_run(make_rig, with_policy=Scripted({2: action}))
    rig.run_to(4)

    [decision] = rig.decisions
    assert type(decision.value) is type(factors(rig)[NAME]) is float
    for record in (decision, rig.steering.states(), status(rig)):
        msgspec.msgpack.encode(record)


def test_a_status_says_how_a_policy_stands(make_rig: Any) -> None:
    rig = a_run(make_rig, with_policy=Scripted({1: Action(factor=0.5), 2: offence}))

    rig.run_to(5)

    said = status(rig)
    assert (said.name, said.shadow, said.benched, said.mode) == (NAME, False, False, "")
    assert (said.connected, said.failure) == (None, "RuntimeError: boom")
    assert said.outcomes == {"kept": 3, "changed": 1, "failed": 1}
    assert said.factors == {"all": 0.5}
