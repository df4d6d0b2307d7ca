"""From what a script says of itself to what steers it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch.optim import Optimizer

from rheostat.attaching.scripted import ScriptedCurve, ScriptedGroups
from rheostat.errors import FailedPrecondition, InvalidSpec, Violation
from rheostat.runs.records import GroupDescription
from rheostat.spec.attached import AttachedSpec, attached_spec
from rheostat.spec.building import build_schedule
from rheostat.spec.models import BoundsSpec
from rheostat.spec.schedules import ScheduleSpec
from rheostat.steering.group import Group
from rheostat.steering.guardrails import guardrails_of
from rheostat.steering.steering import Steering
from rheostat.trainer.joining import make_policy, make_policy_live
from rheostat_policies import Curve, GroupInfo, RunInfo, ScheduleRun

UNPLANNED = 2**53
"""Stands for the length of a script that does not say it, wherever a number must be."""


def spec_of(
    optimizer: Optimizer,
    scheduler: object | None,
    *,
    name: str,
    steps: int | None,
    seed: int,
    policies: Sequence[Any],
    guardrails: Any,
) -> AttachedSpec:
    """Return what a script says of itself.

    Args:
        optimizer: its optimizer.
        scheduler: what moves its LR; None where it says nothing of that.
        name: wished name of the run.
        steps: planned optimizer steps, as far as it knows.
        seed: of its random numbers, for policies that draw some.
        policies: as in a spec; a name alone is one without arguments.
        guardrails: as in a spec; None is none.

    Raises:
        InvalidSpec: with every mistake.
    """
    planned = steps if steps is not None else getattr(scheduler, "total_steps", None)
    return attached_spec(
        {
            "name": name,
            "optimizer": {"name": type(optimizer).__name__},
            "schedule": {"name": type(scheduler).__name__ if scheduler is not None else "script"},
            "policies": [{"name": one} if isinstance(one, str) else one for one in policies],
            "guardrails": guardrails or {},
            "train": {"steps": planned, "seed": seed},
        }
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Steered:
    """A script's LRs, and what it wants them to be."""

    steering: Steering
    script: ScriptedGroups
    steps: int | None
    """Planned optimizer steps; None where the script does not say."""


def build(
    spec: AttachedSpec,
    run: str,
    descriptions: Sequence[GroupDescription],
    optimizer: Optimizer,
    learning_rates: Sequence[float],
) -> Steered:
    """Put the script's curves, policies and guardrails together.

    Args:
        spec: what it says of itself.
        run: what it is called.
        descriptions: its groups.
        optimizer: its optimizer.
        learning_rates: the LRs that stand there now, one per group.

    Raises:
        InvalidSpec: if a policy cannot be had, or there are guardrails for a group that is none.
    """
    names = [group.name for group in descriptions]
    _check_groups(spec, names)
    known = RunInfo(
        name=run,
        steps=spec.train.steps or UNPLANNED,
        groups=tuple(GroupInfo(name=one.name, parameters=one.parameters) for one in descriptions),
        seed=spec.train.seed,
    )
    curves = [
        ScriptedCurve(lr, _peak(group, lr))
        for lr, group in zip(learning_rates, optimizer.param_groups, strict=True)
    ]
    bounds = [spec.guardrails.of(name) for name in names]
    has_own_bound = [one.max_lr is not None for one in bounds]
    groups = [
        _group(name, curve, one) for name, curve, one in zip(names, curves, bounds, strict=True)
    ]
    policies = [
        make_policy(one, f"policies[{index}]", known) for index, one in enumerate(spec.policies)
    ]
    steering = Steering(
        groups,
        policies,
        time.time,
        steps=known.steps,
        make_curve=_CurveMaker(dict(zip(names, curves, strict=True)), spec.train.steps),
        make_policy=lambda edit: make_policy_live(edit, known),
        max_changes_per_minute=spec.guardrails.max_changes_per_minute,
    )
    script = ScriptedGroups(curves, steering.groups, has_own_bound)
    return Steered(steering=steering, script=script, steps=spec.train.steps)


class _CurveMaker:
    """Makes the curve of another schedule that takes the place of the script's."""

    def __init__(self, scripted: dict[str, ScriptedCurve], steps: int | None) -> None:
        self._scripted = scripted
        self._steps = steps

    def __call__(self, group: str, schedule: ScheduleSpec | None, steps: int) -> Curve:
        scripted = self._scripted[group]
        if schedule is None:
            return scripted.as_curve()
        if self._steps is None and not isinstance(schedule.args.get("num_decay_steps"), int):
            raise FailedPrecondition(
                "the script has not said how long it trains, which this schedule must know: attach "
                "it with steps=..., or say how long the cooldown is"
            )
        lr = scripted.value if scripted.value > 0 else scripted.peak
        run = ScheduleRun(lr=lr, steps=steps, steps_per_epoch=max(1, steps))
        curve = build_schedule(schedule, run, path="schedule")
        if curve.momentum is not None:
            expected = "false: the momentum of an attached script is the script's"
            raise InvalidSpec([Violation("schedule.args.cycle_momentum", "true", expected)])
        return curve


def _group(name: str, curve: ScriptedCurve, bounds: BoundsSpec) -> Group:
    # As if its highest LR came at once; the bound that follows from it is lifted by a higher one.
    return Group(name, curve.as_curve(), 1.0, guardrails_of(bounds, lambda step: curve.peak, 1))


def _peak(group: dict[str, Any], lr: float) -> float:
    """Return the highest LR that the script is known to come to: schedulers write down theirs."""
    known = [lr, *(float(group[key]) for key in ("initial_lr", "max_lr") if key in group)]
    return max(known)


def _check_groups(spec: AttachedSpec, names: Sequence[str]) -> None:
    strangers = [name for name in spec.guardrails.groups if name not in names]
    if strangers:
        expected = f"one of the groups ({', '.join(names)})"
        raise InvalidSpec(
            Violation(f"guardrails.groups.{name}", "", expected) for name in strangers
        )
