"""What LRs a trial has, which is a step or more of training that the run then forgets.

A trial has the schedules as they go on, and factors and overrides as they stand. Of the guardrails,
the absolute bounds hold: a rule about movement would make all trials the same.
"""

import math
import operator
from collections.abc import Collection, Sequence

from rheostat.steering.group import Group
from rheostat_policies import MAX_PROBE_FACTORS, MAX_PROBE_STEPS, Probe


def read_probe(probe: Probe) -> Probe:
    """Return the probe that a policy asks for, in plain numbers.

    Raises:
        ValueError, TypeError: if it asks for what cannot be.
    """
    steps = operator.index(probe.steps)
    factors = tuple(probe.factors)
    if not 1 <= len(factors) <= MAX_PROBE_FACTORS:
        raise ValueError(
            f"it asked for a probe of {len(factors)} factors: 1 to {MAX_PROBE_FACTORS} can be tried"
        )
    for factor in factors:
        if not isinstance(factor, float | int) or not math.isfinite(factor) or not factor > 0:
            raise ValueError(f"it asked for a probe with a factor of {factor!r}")
    if not 1 <= steps <= MAX_PROBE_STEPS // len(factors):
        raise ValueError(
            f"it asked for a probe of {len(factors)} x {steps} steps: 1 to {MAX_PROBE_STEPS} steps "
            "can be tried in all"
        )
    return Probe(factors=tuple(float(factor) for factor in factors), steps=steps)


def with_factor(groups: Sequence[Group], policy: str, factor: float, step: int) -> list[float]:
    """Return the LR of each group at a step, had a policy this factor in all of them."""
    return [_composed(group, {**group.factors, policy: factor}, policy, step) for group in groups]


def with_learning_rate(
    groups: Sequence[Group], names: Collection[str], learning_rate: float, step: int
) -> list[float]:
    """Return the LR of each group at a step, had these groups one LR whatever the schedule."""
    return [
        group.guardrails.bound(learning_rate)[0]
        if group.name in names
        else _composed(group, group.factors, "", step)
        for group in groups
    ]


def bounds_of(
    groups: Sequence[Group], names: Collection[str], learning_rates: Sequence[float]
) -> tuple[tuple[dict[str, float], ...], tuple[tuple[str, ...], ...]]:
    """Return, of each LR to be tried, what the guardrails let it be by group, and which bent it.

    Args:
        groups: of the run.
        names: of those that have the LR.
        learning_rates: as asked for.
    """
    probed = [group for group in groups if group.name in names]
    bounds = [{group.name: group.guardrails.bound(lr) for group in probed} for lr in learning_rates]
    return (
        tuple({name: lr for name, (lr, _) in one.items()} for one in bounds),
        tuple(
            tuple(dict.fromkeys(rule for _, rules in one.values() for rule in rules))
            for one in bounds
        ),
    )


def _composed(group: Group, factors: dict[str, float], engaged: str, step: int) -> float:
    """Compose a group's LR at a step that is not begun, with a policy in shadow engaged."""
    hold = group.operator.hold
    if hold is not None:
        return group.guardrails.bound(hold.value)[0]
    acting = [one for name, one in factors.items() if name == engaged or name not in group.shadows]
    wanted = group.base_at(step) * (math.prod(acting) * group.operator.value)
    return group.guardrails.bound(wanted)[0] if math.isfinite(wanted) else group.learning_rate
