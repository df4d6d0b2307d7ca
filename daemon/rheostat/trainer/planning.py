"""What a run would do, told before it does anything."""

from collections.abc import Mapping
from dataclasses import dataclass

from rheostat.runs.records import GroupDescription
from rheostat.spec.models import Spec
from rheostat.trainer.building import build
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
    device: str
    data: str
    """What it trains on, in a few words."""
    warnings: tuple[str, ...]
    min_lr: float
    max_lr: Mapping[str, float]
    """Largest LR that the guardrails let through, by group; infinite where unbounded."""


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
        optimizer=type(parts.optimizer).__name__,
        device=str(parts.device),
        data=f"{spec.data.name}: {described.train_samples} to train on, "
        f"{described.validation_samples} to validate",
        warnings=parts.warnings,
        min_lr=spec.guardrails.min_lr,
        max_lr={group.name: group.guardrails.max_lr for group in steered},
    )
