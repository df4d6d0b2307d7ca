"""Policies that answer over the network: what they are told, and what becomes of their answers."""

import math
from collections.abc import Iterator
from typing import Any

import pytest

from rheostat.errors import FailedPrecondition
from rheostat.steering import remote
from rheostat.steering.policies import BENCH_AFTER
from rheostat.steering.records import PolicyEdit, RemoteTerms, Verb
from rheostat.steering.remote import MAX_UNANSWERED
from rheostat_policies import Action, Observation

PEAK = 0.1
NAME = "far"
HALF = Action(factor=0.5)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(remote, "perf_counter", clock)
    return clock


def connect(rig: Any, *, shadow: bool = False, name: str = NAME, **terms: Any) -> Any:
    edit = PolicyEdit(policy=name, shadow=shadow, remote=RemoteTerms(**terms))
    return rig.ask(Verb.ATTACH, policy=edit)


def a_run(make_rig: Any, *, more: Any = None, **terms: Any) -> Any:
    """Return a run of a constant LR that a policy is connected to since its first step."""
    rig = make_rig({"all": lambda step: PEAK}, **(more or {}))
    rig.begin(0)
    connect(rig, **terms)
    return rig


def sent(rig: Any) -> list[Observation]:
    """Return what has gone out, as the loop would send it."""
    outbox = rig.steering.roster.outbox
    observations = [observation for _, observation in outbox]
    outbox.clear()
    return observations


def answer(rig: Any, step: int, action: Action = HALF) -> float:
    """Let an answer arrive at the boundary of the step begun, and return the LR it leads to."""
    rig.steering.answer(NAME, step, action)
    rig.settle()
    return rig.steering.learning_rates[0]


def vanish(rig: Any) -> None:
    rig.steering.vanish(NAME)
    rig.settle()


def status(rig: Any) -> Any:
    [one] = rig.steering.roster.statuses()
    return one


def outcomes(rig: Any) -> dict[str, int]:
    """Return the outcomes that there were."""
    return {outcome: count for outcome, count in status(rig).outcomes.items() if count}


# --- asynchronously ----------------------------------------------------------------------------


def test_it_is_told_of_every_step_that_is_its_turn(make_rig: Any) -> None:
    rig = a_run(make_rig, every=3)

    rig.run_to(10)

    assert [one.step for one in sent(rig)] == [0, 3, 6, 9]
    assert rig.steering.patience() == 0.0, "no step waits for it"


def test_what_it_observes_is_asked_for(make_rig: Any) -> None:
    rig = a_run(make_rig, observes=("gradient_norm", "gradient_alignment"))

    assert rig.steering.roster.observes() == {"gradient_norm", "gradient_alignment"}


def test_an_answer_acts_on_the_step_that_begins_when_it_arrives(make_rig: Any) -> None:
    rig = a_run(make_rig)
    rig.begin(20)

    lr = answer(rig, 3)

    assert lr == PEAK * 0.5
    [_, decision] = rig.decisions
    assert (decision.source, decision.applied_step, decision.value) == ("policy:far", 20, 0.5)
    assert outcomes(rig) == {"changed": 1}


def test_it_may_keep_its_factor_or_say_nothing(make_rig: Any) -> None:
    rig = a_run(make_rig)
    rig.begin(2)
    answer(rig, 0, Action())

    rig.run_to(50)

    assert rig.steering.learning_rates == [PEAK]
    assert outcomes(rig) == {"kept": 1}
    assert not status(rig).benched


def test_whoever_answers_a_step_has_passed_over_those_before_it(make_rig: Any) -> None:
    rig = a_run(make_rig)
    rig.begin(9)

    lrs = [answer(rig, 5, Action(factor=0.5)), answer(rig, 4, Action(factor=0.25))]
    lrs += [answer(rig, 5, Action(factor=0.125)), answer(rig, 6, Action(factor=2.0))]

    assert lrs == [PEAK * 0.5, PEAK * 0.5, PEAK * 0.5, PEAK * 2.0]
    assert outcomes(rig) == {"changed": 2, "late": 2}


@pytest.mark.parametrize("step", [-1, 9, 10**9])
def test_an_answer_to_what_it_was_not_told_is_dropped(make_rig: Any, step: int) -> None:
    rig = a_run(make_rig)
    rig.begin(9)

    assert answer(rig, step) == PEAK
    assert outcomes(rig) == {"late": 1}


def test_an_answer_after_its_deadline_is_dropped_and_counted_and_no_offence(
    make_rig: Any, clock: Clock
) -> None:
    rig = a_run(make_rig, deadline=0.5)
    for step in range(1, 20):
        rig.begin(step)
        clock.now += 0.6
        answer(rig, step - 1)

    rig.begin(20)
    clock.now += 0.4
    lr = answer(rig, 19)

    assert outcomes(rig) == {"late": 19, "changed": 1}
    assert not status(rig).benched
    assert lr == PEAK * 0.5, "in time again"


def test_of_very_many_unanswered_observations_the_oldest_are_given_up(make_rig: Any) -> None:
    rig = a_run(make_rig)
    rig.begin(MAX_UNANSWERED + 5)

    assert answer(rig, 4) == PEAK
    assert answer(rig, 5) == PEAK * 0.5


GARBAGE = [
    Action(factor=math.nan),
    Action(factor=math.inf),
    Action(factor=-1.0),
    Action(factor=0.0),
    Action(factor={"nobody": 0.5}),
    Action(factor=0.5, ramp_steps=0),
    Action(factor=0.5, ramp_steps=-(2**63)),
    Action(factor=0.5, reason="x" * 10**6),
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda action: repr(action)[:60])
def test_garbage_changes_nothing_and_benches_whoever_sends_nothing_else(
    make_rig: Any, garbage: Action
) -> None:
    rig = a_run(make_rig)
    rig.begin(1)
    answer(rig, 0)
    for step in range(2, 20):
        rig.begin(step)
        assert answer(rig, step - 1, garbage) == PEAK * 0.5
    told = [one.step for one in sent(rig)]

    assert told == list(range(BENCH_AFTER + 1)), "nobody tells it anything any more"
    assert status(rig).benched
    assert "ValueError: it" in status(rig).failure
    assert [one.verb for one in rig.decisions] == ["attach", "", "bench"]

    rig.ask(Verb.REVIVE, policy=PolicyEdit(policy=NAME))
    rig.begin(21)
    assert answer(rig, 20, Action(factor=0.25)) == PEAK * 0.25


def test_who_is_benched_is_not_heard_of_what_it_was_told_before(make_rig: Any) -> None:
    rig = a_run(make_rig)
    rig.begin(20)
    for step in range(BENCH_AFTER):
        answer(rig, step, Action(factor=-1.0))

    assert answer(rig, 19) == PEAK
    assert outcomes(rig) == {"failed": BENCH_AFTER, "late": 1}


def test_a_remote_policy_in_shadow_changes_no_lr(make_rig: Any) -> None:
    rig = a_run(make_rig, shadow=True)
    rig.begin(3)

    assert answer(rig, 2) == PEAK
    assert rig.steering.states()[0].shadows == {NAME: PEAK * 0.5}


# --- in lockstep -------------------------------------------------------------------------------


def test_a_step_waits_for_the_answer_until_the_deadline(make_rig: Any, clock: Clock) -> None:
    rig = a_run(make_rig, mode="lockstep", deadline=0.5)
    rig.begin(1)

    waits = [rig.steering.patience()]
    clock.now += 0.2
    waits.append(rig.steering.patience())
    lr = answer(rig, 0)
    waits.append(rig.steering.patience())

    assert waits == pytest.approx([0.5, 0.3, 0.0])
    assert lr == PEAK * 0.5


def test_a_step_goes_on_without_an_answer_that_does_not_come(make_rig: Any, clock: Clock) -> None:
    rig = a_run(make_rig, mode="lockstep", deadline=0.5)
    rig.begin(1)
    answer(rig, 0)
    rig.begin(2)
    clock.now += 0.6

    assert rig.steering.patience() == 0.0
    rig.settle()
    rig.begin(3)
    assert answer(rig, 1, Action(factor=0.1)) == PEAK * 0.5, "the last factor"
    assert rig.steering.patience() == 0.5, "for the answer to step 2"
    assert outcomes(rig) == {"changed": 1, "missed": 1, "late": 1}
    assert status(rig).failure == "no answer within its deadline of 0.5 s"


def test_nobody_waits_at_steps_that_are_not_its_turn(make_rig: Any, clock: Clock) -> None:
    rig = a_run(make_rig, mode="lockstep", deadline=0.5, every=3)
    patience = []
    for step in range(1, 8):
        rig.begin(step)
        patience.append(rig.steering.patience())
        answer(rig, step - 1)

    assert patience == [0.5, 0.0, 0.0, 0.5, 0.0, 0.0, 0.5]


def test_the_most_patient_of_several_decides_how_long_a_step_waits(
    make_rig: Any, clock: Clock
) -> None:
    rig = a_run(make_rig, mode="lockstep", deadline=0.5)
    connect(rig, name="farther", mode="lockstep", deadline=2.0)
    rig.begin(1)

    waits = [rig.steering.patience()]
    rig.steering.answer("farther", 0, HALF)
    waits.append(rig.steering.patience())

    assert waits == [2.0, 0.5]


def test_a_policy_that_never_answers_is_benched_and_waited_for_no_more(
    make_rig: Any, clock: Clock
) -> None:
    rig = a_run(make_rig, mode="lockstep", deadline=0.5)
    waited = 0.0
    for step in range(1, 30):
        rig.begin(step)
        while (seconds := rig.steering.patience()) > 0:
            clock.now += seconds
            waited += seconds
        rig.settle()

    assert waited == pytest.approx(BENCH_AFTER * 0.5)
    assert status(rig).benched
    assert outcomes(rig) == {"missed": BENCH_AFTER}
    assert [(one.verb, one.applied_step) for one in rig.decisions] == [("attach", 0), ("bench", 6)]


def test_garbage_is_an_answer_too_and_nobody_waits_for_another(make_rig: Any, clock: Clock) -> None:
    rig = a_run(make_rig, mode="lockstep", deadline=0.5)
    rig.begin(1)

    answer(rig, 0, Action(factor=-1.0))

    assert rig.steering.patience() == 0.0
    assert outcomes(rig) == {"failed": 1}


# --- gone and back -----------------------------------------------------------------------------


@pytest.mark.parametrize("hold", [0, 1, 10])
@pytest.mark.parametrize("relax", [1, 4, 20])
def test_the_factor_of_who_vanished_stays_and_then_relaxes_exactly_as_its_hello_said(
    make_rig: Any, hold: int, relax: int
) -> None:
    rig = a_run(make_rig, hold_steps=hold, relax_steps=relax)
    rig.begin(5)
    answer(rig, 4, Action(factor=0.25))
    rig.begin(10)

    vanish(rig)
    lrs = [rig.steering.learning_rates[0], *rig.lrs(range(11, 45))]

    there = hold + relax - 1
    relaxing = [PEAK * 0.25 ** (1 - done / relax) for done in range(1, relax)]
    assert lrs[:hold] == [PEAK * 0.25] * hold
    assert lrs[hold:there] == pytest.approx(relaxing, rel=1e-14)
    assert lrs[there:] == [PEAK] * (35 - there)
    told = [(one.verb, one.source, one.applied_step) for one in rig.decisions[2:]]
    assert told == [("vanish", "policy:far", 10), ("relax", "policy:far", 10 + hold)]
    assert (status(rig).connected, status(rig).factors) == (False, {"all": 1.0})


def test_the_factor_of_who_relaxes_never_stays_for_ever(make_rig: Any) -> None:
    rig = a_run(make_rig, relax_steps=0)
    rig.begin(5)
    answer(rig, 4)

    vanish(rig)

    assert rig.run_to(500) == [PEAK * 0.5]
    assert rig.decisions[-1].reason == "it is gone; its factor stays"


def test_it_relaxes_in_groups_that_cool_down_too(make_rig: Any) -> None:
    rig = a_run(make_rig, more={"cool_down_steps": 200}, hold_steps=5, relax_steps=5)
    rig.begin(5)
    answer(rig, 4)

    vanish(rig)

    assert rig.run_to(20) == [PEAK]


def test_who_vanished_is_told_nothing_and_waited_for_no_more(make_rig: Any) -> None:
    rig = a_run(make_rig, mode="lockstep", deadline=5.0)
    rig.begin(5)
    sent(rig)

    vanish(rig)
    vanish(rig)
    patience = rig.steering.patience()
    rig.run_to(9)

    assert (patience, sent(rig)) == (0.0, [])
    assert answer(rig, 4) == PEAK
    assert [one.verb for one in rig.decisions] == ["attach", "vanish"]


def test_who_comes_back_in_time_goes_on_where_it_was(make_rig: Any) -> None:
    rig = a_run(make_rig, hold_steps=10)
    rig.begin(5)
    answer(rig, 4)
    vanish(rig)
    rig.begin(14)

    decision = connect(rig, every=7)
    sent(rig)
    rig.run_to(300)

    assert (decision.verb, decision.applied_step) == ("attach", 14)
    assert rig.steering.learning_rates == [PEAK * 0.5]
    assert [one.step for one in sent(rig)][:2] == [14, 21], "by its new terms"
    assert status(rig).connected


def test_who_comes_back_while_it_relaxes_stops_that(make_rig: Any) -> None:
    rig = a_run(make_rig, hold_steps=0, relax_steps=10)
    rig.begin(5)
    answer(rig, 4, Action(factor=0.25))
    vanish(rig)
    rig.begin(9)

    connect(rig)
    rig.run_to(40)

    assert rig.steering.learning_rates == [pytest.approx(PEAK * 0.5)]
    assert sent(rig)[-1].factor == {"all": pytest.approx(0.5)}


def test_who_comes_back_is_off_the_bench_and_may_be_in_shadow(make_rig: Any) -> None:
    rig = a_run(make_rig)
    for step in range(1, 10):
        rig.begin(step)
        answer(rig, step - 1, Action(factor=-1.0))
    vanish(rig)

    connect(rig, shadow=True)
    rig.begin(10)

    assert answer(rig, 9) == PEAK
    assert (status(rig).benched, status(rig).shadow) == (False, True)


def test_its_own_cool_down_does_not_keep_it_away(make_rig: Any) -> None:
    rig = a_run(make_rig, more={"cool_down_steps": 200})
    rig.begin(5)
    answer(rig, 4)
    vanish(rig)
    rig.begin(6)

    assert connect(rig).verb == "attach"


def test_two_cannot_be_the_same_policy(make_rig: Any) -> None:
    rig = a_run(make_rig)

    refused = connect(rig)

    assert isinstance(refused, FailedPrecondition)
    assert "a policy far is attached already" in str(refused)


def test_who_was_detached_can_say_what_it_likes(make_rig: Any) -> None:
    rig = a_run(make_rig)
    rig.begin(5)
    answer(rig, 4)
    rig.ask(Verb.DETACH, policy=PolicyEdit(policy=NAME))

    vanish(rig)

    assert answer(rig, 4) == PEAK
    assert rig.steering.roster.statuses() == ()
    assert [one.verb for one in rig.decisions] == ["attach", "", "detach"]


def test_a_status_says_how_it_takes_part(make_rig: Any) -> None:
    rig = a_run(make_rig, mode="lockstep", deadline=1.0)

    assert (status(rig).mode, status(rig).connected) == ("lockstep", True)
