"""What a run would do, told before it does anything."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rheostat.runs.records import GroupDescription
from rheostat.spec.models import BoundsSpec, Spec
from rheostat.trainer.building import build
from rheostat.trainer.optimizers import parts_of
from rheostat_policies import Curve


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A run on paper."""

    groups: tuple[GroupDescription, ...]
    steps: int
    """Planned optimizer steps."""
    steps_per_epoch: int
    curves: Mapping[str, Curve]
    """Base LR by group, `lr_scale` included."""
    optimizer: str
    """Its class, or the classes that step as one, in a few words."""
    device: str
    data: str
    """What it trains on, in a few words."""
    warnings: tuple[str, ...]
    min_lr: Mapping[str, float]
    """Smallest LR that the guardrails let through, by group."""
    max_lr: Mapping[str, float]
    """Largest LR that the guardrails let through, by group; infinite where unbounded."""
    guardrails: Mapping[str, Mapping[str, Any]]
    """The guardrails in force by group: their keys in the spec, and their values."""


def plan(spec: Spec) -> Plan:
    """Build everything a run needs, train nothing, and say what it would be.

    Raises:
        InvalidSpec: for whatever would stop the run from starting.
    """
    parts = build(spec, spec.name)
    steered = parts.steering.groups
    described = parts.data.description
    return Plan(
        groups=tuple(group.describe() for group in parts.groups),
        steps=parts.steps,
        steps_per_epoch=parts.batches.steps_per_epoch,
        curves={
            group.name: Curve(learning_rate=group.base_at, momentum=group.curve.momentum)
            for group in steered
        },
        optimizer=" and ".join(type(part).__name__ for part in parts_of(parts.optimizer)),
        device=str(parts.device),
        data=f"{spec.data.name}: {described.train_samples} to train on, "
        f"{described.validation_samples} to validate",
        warnings=parts.warnings,
        min_lr={group.name: group.guardrails.min_lr for group in steered},
        max_lr={group.name: group.guardrails.max_lr for group in steered},
        guardrails={
            group.name: _in_force(spec.guardrails.of(group.name), group.guardrails.max_lr)
            for group in steered
        },
    )


def _in_force(bounds: BoundsSpec, max_lr: float) -> dict[str, Any]:
    """Return the bounds that say something, the default `max_lr` among them."""
    said = bounds.model_dump(exclude_none=True, include=set(BoundsSpec.model_fields))
    in_force = {key: value for key, value in said.items() if value != 0}
    return in_force if math.isinf(max_lr) else {**in_force, "max_lr": max_lr}
