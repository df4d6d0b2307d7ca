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
PEAK = 0.1
"""LR of every schedule that is made by name."""


class Rig:
    """A steering that is driven step by step and remembers what it decided.

    A schedule is a function of the step, or a name with its arguments, which is made anew for
    another horizon.
    """

    def __init__(
        self,
        curves: dict[str, Callable[[int], float] | ScheduleSpec] | None = None,
        policies: dict[str, Policy] | None = None,
        lr_scale: float = 1.0,
        steps: int = STEPS,
        **guardrails: Any,
    ) -> None:
        curves = curves or {"body": lambda step: 0.1, "head": lambda step: 0.2}
        spec = GuardrailsSpec(**guardrails)
        infos = tuple(GroupInfo(name=name, parameters=1) for name in curves)
        run = RunInfo(name="rig", steps=steps, groups=infos)
        self._curves = curves
        made = {name: self._make_curve(name, None, steps) for name in curves}
        groups = [
            Group(name, curve, lr_scale, guardrails_of(spec.of(name), curve.learning_rate, steps))
            for name, curve in made.items()
        ]
        attached = [AttachedPolicy(name, one, run) for name, one in (policies or {}).items()]
        clock = itertools.count(1)
        self.run = run
        self.shop: dict[str, Policy] = {}
        """Policies that can be attached by these names; they look like import paths."""
        self.steering = Steering(
            groups,
            attached,
            lambda: float(next(clock)),
            steps=steps,
            make_curve=self._make_curve,
            make_policy=self._make_policy,
            max_changes_per_minute=spec.max_changes_per_minute,
        )
        self.decisions: list[Decision] = []
        self.outcomes: list[Outcome] = []
        self.step = -1
        self._tickets = itertools.count(1)

    def run_to(self, step: int, loss: float = 1.0) -> list[float]:
        """Take steps up to this one and return its LRs, which are fixed."""
        while self.step < step:
            self._begin(loss)
            self.settle()
        return self.steering.learning_rates

    def begin(self, step: int, loss: float = 1.0) -> None:
        """Take steps up to this one and stop within its boundary, where requests arrive."""
        self.run_to(step - 1, loss)
        self._begin(loss)

    def ask(self, verb: Verb, value: float | None = None, **fields: Any) -> Any:
        """Ask for a change at the step begun and return its result, None while it waits."""
        return self.submit(Change(verb=verb, value=value, **fields))

    def submit(self, change: Change) -> Any:
        ticket = next(self._tickets)
        self.steering.submit(ticket, change)
        self.settle()
        results = [outcome.result for outcome in self.outcomes if outcome.ticket == ticket]
        return results[0] if results else None

    def lrs(self, steps: Sequence[int], group: int = 0) -> list[float]:
        """Run through steps and return one group's LR in each."""
        return [self.run_to(step)[group] for step in steps]

    def _begin(self, loss: float) -> None:
        self.step += 1
        steps = self.steering.steps
        seen = (self.step - 1, steps, loss, None, None, None, None) if self.step else None
        self.steering.advance(self.step, seen)

    def settle(self) -> None:
        """End the boundary, and keep what was decided at it."""
        decisions, outcomes = self.steering.settle()
        self.decisions += decisions
        self.outcomes += [outcome for outcome in outcomes if outcome.result is not None]

    def _make_curve(self, group: str, schedule: ScheduleSpec | None, steps: int) -> Curve:
        asked = self._curves[group] if schedule is None else schedule
        if isinstance(asked, ScheduleSpec):
            return build_schedule(asked, ScheduleRun(lr=PEAK, steps=steps, steps_per_epoch=10))
        return Curve(learning_rate=asked)

    def _make_policy(self, edit: PolicyEdit) -> AttachedPolicy:
        spec = PolicySpec(name=edit.policy, args=json.loads(edit.args or "{}"))
        policy = self.shop.get(edit.policy) or build_policy(spec, path="policy")
        return AttachedPolicy(edit.policy, policy, self.run, is_shadow=edit.shadow)


@pytest.fixture(scope="session")
def make_rig() -> type[Rig]:
    return Rig
