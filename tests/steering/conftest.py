"""A steering of the tests: two groups by default, a counted clock, no trainer."""

import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from rheostat.spec.building import build_policy, build_schedule
from rheostat.spec.models import GuardrailsSpec, PolicySpec
from rheostat.spec.schedules import ScheduleSpec
from rheostat.steering.group import Group
from rheostat.steering.guardrails import guardrails_of
from rheostat.steering.policies import AttachedPolicy
from rheostat.steering.records import Change, Decision, PolicyEdit, Verb
from rheostat.steering.steering import Outcome, Steering
from rheostat_policies import Curve, GroupInfo, Policy, RunInfo, ScheduleRun

STEPS = 1000


class Rig:
    """A steering that is driven step by step and remembers what it decided."""

    def __init__(
        self,
        curves: dict[str, Callable[[int], float]] | None = None,
        policies: dict[str, Policy] | None = None,
        lr_scale: float = 1.0,
        **guardrails: Any,
    ) -> None:
        curves = curves or {"body": lambda step: 0.1, "head": lambda step: 0.2}
        spec = GuardrailsSpec(**guardrails)
        infos = tuple(GroupInfo(name=name, parameters=1) for name in curves)
        run = RunInfo(name="rig", steps=STEPS, groups=infos)
        groups = [
            Group(
                name,
                Curve(learning_rate=curve),
                lr_scale,
                guardrails_of(spec.of(name), curve, STEPS),
            )
            for name, curve in curves.items()
        ]
        attached = [AttachedPolicy(name, one, run) for name, one in (policies or {}).items()]
        clock = itertools.count(1)
        self.run = run
        self.steering = Steering(
            groups,
            attached,
            lambda: float(next(clock)),
            steps=STEPS,
            make_curve=self._make_curve,
            make_policy=self._make_policy,
            max_changes_per_minute=spec.max_changes_per_minute,
        )
        self._curves = curves
        self.decisions: list[Decision] = []
        self.outcomes: list[Outcome] = []
        self.step = -1
        self._tickets = itertools.count(1)

    def run_to(self, step: int, loss: float = 1.0) -> list[float]:
        """Begin steps up to this one and return its LRs."""
        while self.step < step:
            self.step += 1
            seen = (self.step - 1, STEPS, loss, None, None, None, None) if self.step else None
            self.steering.advance(self.step, seen)
            self._settle()
        return self.steering.learning_rates

    def ask(self, verb: Verb, value: float | None = None, **fields: Any) -> Any:
        """Ask for a change at the step begun and return its result, None while it waits."""
        return self.submit(Change(verb=verb, value=value, **fields))

    def submit(self, change: Change) -> Any:
        ticket = next(self._tickets)
        self.steering.submit(ticket, change)
        self._settle()
        results = [outcome.result for outcome in self.outcomes if outcome.ticket == ticket]
        return results[0] if results else None

    def lrs(self, steps: Sequence[int], group: int = 0) -> list[float]:
        """Run through steps and return one group's LR in each."""
        return [self.run_to(step)[group] for step in steps]

    def _make_curve(self, group: str, schedule: ScheduleSpec | None, steps: int) -> Curve:
        if schedule is None:
            return Curve(learning_rate=self._curves[group])
        run = ScheduleRun(lr=0.1, steps=steps, steps_per_epoch=10)
        return build_schedule(schedule, run)

    def _make_policy(self, edit: PolicyEdit) -> AttachedPolicy:
        spec = PolicySpec(name=edit.policy, args=json.loads(edit.args or "{}"))
        return AttachedPolicy(edit.policy, build_policy(spec), self.run, is_shadow=edit.shadow)

    def _settle(self) -> None:
        decisions, outcomes = self.steering.settle()
        self.decisions += decisions
        self.outcomes += outcomes


@pytest.fixture(scope="session")
def make_rig() -> type[Rig]:
    return Rig
