"""Policies of people who made mistakes, in a loop that trains: it goes on, and says what was."""

import signal
import time
from pathlib import Path
from typing import Any, TypeVar

import pytest

from rheostat.runs.frames import encode, to_trainer
from rheostat.runs.messages import (
    Applied,
    ChangeCommand,
    Message,
    Observed,
    PolicyAnswer,
    PolicyVanished,
    Refused,
    StopCommand,
    Telemetry,
)
from rheostat.spec.models import Spec
from rheostat.steering import policies
from rheostat.steering.records import Change, PolicyEdit, PolicyStatus, RemoteTerms, Verb
from rheostat.trainer import joining
from rheostat.trainer.building import build
from rheostat.trainer.interrupting import Interrupt
from rheostat.trainer.loop import Loop
from rheostat.trainer.ranks import Alone

PEAK = 0.1
LIMIT_SECONDS = 0.3
BENCH_AFTER = 2
"""Of this file's runs, so that they are benched soon."""
POLICIES = """
import os, sys, time
from rheostat_policies import KEEP, Action

class Well:
    def initial_state(self, run):
        return 0
    def decide(self, state, observation):
        if observation.step < 10:
            return self.misbehave(state)
        return Action(factor=0.5) if observation.step == 20 else KEEP, state + 1
    def misbehave(self, state):
        return KEEP, state

class Raising(Well):
    def misbehave(self, state):
        state += 1000
        raise RuntimeError("boom")

class Exiting(Well):
    def misbehave(self, state):
        sys.exit(1)

class Sleeping(Well):
    def misbehave(self, state):
        time.sleep(0.11)
        return Action(factor=0.1), 99

class Hanging(Well):
    def misbehave(self, state):
        while True:
            try:
                time.sleep(60)
            except Exception:
                pass

class Spinning(Well):
    def misbehave(self, state):
        while True:
            state += 1

class HangingFromTheStart(Well):
    def initial_state(self, run):
        time.sleep(60)

class RaisingFromTheStart(Well):
    def initial_state(self, run):
        raise RuntimeError("boom")

class Curious(Well):
    observes = ("weather",)
"""
M = TypeVar("M", bound=Message)


class Desk:
    """A daemon in the same process: a test reads what it is told, and leaves orders."""

    is_congested = False

    def __init__(self) -> None:
        self.told: list[Message] = []
        self.patience: list[float] = []
        """Seconds that the loop was ready to wait, each time it waited."""
        self._orders: list[Any] = []
        self._tickets = 0

    def send(self, *messages: Message) -> None:
        for message in messages:
            encode(message)  # or the real link would have broken
        self.told += messages

    def receive(self, timeout: float = 0.0) -> list[Any]:
        if timeout:
            self.patience.append(timeout)
        orders, self._orders = self._orders, []
        if timeout and not orders:
            time.sleep(timeout)
        return orders

    def order(self, *messages: Message) -> None:
        for message in messages:
            self._orders += to_trainer().feed(encode(message))

    def ask(self, verb: Verb, **policy: Any) -> None:
        self._tickets += 1
        change = Change(verb=verb, policy=PolicyEdit(**policy))
        self.order(ChangeCommand(command_id=self._tickets, change=change))

    def all(self, kind: type[M]) -> list[M]:
        return [one for one in self.told if isinstance(one, kind)]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    (tmp_path / "misled.py").write_text(POLICIES)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(policies, "BENCH_AFTER", BENCH_AFTER)
    monkeypatch.setattr(joining, "Interrupt", lambda seconds=0.0: Interrupt(LIMIT_SECONDS))
    return Desk()


def a_loop(desk: Desk, *policies: str) -> Loop:
    spec = {
        "model": {"name": "mlp", "args": {"hidden": [8]}},
        "optimizer": {"name": "SGD", "lr": PEAK},
        "train": {"steps": 60, "device": "cpu"},
        "policies": [{"name": f"misled:{name}"} for name in policies],
    }
    return Loop(build(Spec.model_validate(spec), "run"), desk, Alone())


def learning_rate(loop: Loop) -> float:
    return float(loop.parts.optimizer.param_groups[0]["lr"])


def status(loop: Loop) -> PolicyStatus:
    [one] = loop.parts.steering.roster.statuses()
    return one


OFFENCES = {
    "Raising": ("failed", "RuntimeError: boom"),
    "Exiting": ("failed", "SystemExit: 1"),
    "Sleeping": ("slow", "s to decide"),
    "Hanging": ("failed", "PolicyHangs: it did not return within 0.3 s and was interrupted"),
    "Spinning": ("failed", "PolicyHangs: it did not return within 0.3 s and was interrupted"),
}


@pytest.mark.parametrize("name", OFFENCES)
def test_a_policy_that_misbehaves_is_benched_revived_and_heard_while_the_run_trains(
    desk: Desk, name: str
) -> None:
    outcome, failure = OFFENCES[name]
    loop = a_loop(desk, name)

    loop.advance(15)
    offended, asked = status(loop), sum(status(loop).outcomes.values())
    desk.ask(Verb.REVIVE, policy=f"misled:{name}")
    result = loop.run()

    assert (offended.benched, offended.outcomes[outcome], asked) == (True, BENCH_AFTER, BENCH_AFTER)
    assert failure in offended.failure
    assert result.steps == 60
    assert status(loop).outcomes["changed"] == 1
    assert loop.parts.steering.roster.policies[0].state == 44, "of nothing but good answers"
    assert learning_rate(loop) == PEAK * 0.5
    [told] = [one for one in desk.all(Telemetry) if one.snapshot.step == 60][-1:]
    assert told.snapshot.policies == (status(loop),)


def test_an_alarm_of_somebody_elses_is_not_ours(desk: Desk) -> None:
    before = signal.getsignal(signal.SIGALRM)

    a_loop(desk, "Hanging").advance(12)

    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("name", "field", "expected"),
    [
        ("RaisingFromTheStart", "policy", "initial_state failed with RuntimeError: boom"),
        ("HangingFromTheStart", "policy", "to begin: it did not return within 0.3 s"),
        ("Curious", "policy", "it observes 'weather', which is none of gradient_norm"),
        ("Absent", "policy", "no 'Absent' there"),
    ],
)
def test_a_policy_that_cannot_begin_is_refused_while_the_run_trains(
    desk: Desk, name: str, field: str, expected: str
) -> None:
    loop = a_loop(desk)
    loop.advance(3)

    desk.ask(Verb.ATTACH, policy=f"misled:{name}")
    loop.advance(3)

    [refused] = desk.all(Refused)
    [violation] = refused.violations
    assert (refused.kind, violation.field) == ("InvalidRequest", field)
    assert violation.value == f"misled:{name}"
    assert expected in violation.expected
    assert (loop.step, loop.parts.steering.roster.policies) == (6, ())


def test_a_policy_attached_while_the_run_trains_is_asked_from_its_step_on(desk: Desk) -> None:
    loop = a_loop(desk)
    loop.advance(15)

    desk.ask(Verb.ATTACH, policy="misled:Well")
    loop.advance(10)

    [applied] = desk.all(Applied)
    assert applied.decision.applied_step == 15
    assert learning_rate(loop) == PEAK * 0.5
    assert status(loop).outcomes == {"kept": 8, "changed": 1, "failed": 0}


# --- over the network --------------------------------------------------------------------------


def connect(desk: Desk, loop: Loop, **terms: Any) -> None:
    desk.ask(Verb.ATTACH, policy="far", remote=RemoteTerms(**terms))
    loop.advance(1)


def test_the_loop_sends_observations_and_takes_answers_at_the_next_boundary(desk: Desk) -> None:
    loop = a_loop(desk)
    connect(desk, loop, every=2)
    loop.advance(4)

    desk.order(PolicyAnswer(policy="far", step=2, factor=0.5, ramp_steps=1))
    loop.advance(1)

    assert [one.observation.step for one in desk.all(Observed)] == [0, 2, 4]
    assert {one.policy for one in desk.all(Observed)} == {"far"}
    assert learning_rate(loop) == PEAK * 0.5
    assert desk.patience == []


def test_a_step_waits_in_lockstep_no_longer_than_the_deadline(desk: Desk) -> None:
    loop = a_loop(desk)
    connect(desk, loop, mode="lockstep", deadline=0.05)

    begun = time.perf_counter()
    loop.advance(20)
    seconds = time.perf_counter() - begun

    assert len(desk.patience) == BENCH_AFTER
    assert max(desk.patience) <= 0.05
    assert seconds >= BENCH_AFTER * 0.05
    assert status(loop).outcomes["missed"] == BENCH_AFTER
    assert status(loop).benched


@pytest.mark.parametrize("order", [PolicyVanished(policy="far"), StopCommand()])
def test_a_step_that_waits_in_lockstep_is_freed_where_no_answer_can_come(
    desk: Desk, order: Message
) -> None:
    loop = a_loop(desk)
    connect(desk, loop, mode="lockstep", deadline=30.0)
    desk.order(order)

    begun = time.perf_counter()
    loop.advance(1)

    assert time.perf_counter() - begun < 10.0
    assert desk.patience == []
