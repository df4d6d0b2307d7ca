"""From a spec to everything the loop needs, in the order that makes two runs identical."""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from rheostat.errors import InvalidSpec, Violation
from rheostat.spec.building import build_policy, build_schedule
from rheostat.spec.models import Spec
from rheostat.steering.group import Group
from rheostat.steering.guardrails import guardrails_of
from rheostat.steering.policies import AttachedPolicy
from rheostat.steering.steering import Steering
from rheostat.trainer.data import Data, load_data
from rheostat.trainer.data.batches import Batches, make_batches, validation_batches
from rheostat.trainer.devices import find_device, use_threads
from rheostat.trainer.groups import ParamGroup, make_groups
from rheostat.trainer.losses import LossFunction, find_loss
from rheostat.trainer.models import build_model
from rheostat.trainer.optimizers import (
    check_arguments,
    has_momentum,
    lrs_of,
    make_optimizer,
    semantics_of,
)
from rheostat_policies import Curve, GroupInfo, RunInfo, ScheduleRun

VALIDATION_BATCH = 1000
"""Samples of a validation batch: large for speed, the same in every run for equal sums."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A run, built and not yet started."""

    spec: Spec
    device: torch.device
    data: Data
    batches: Batches
    validation: Iterable[tuple[Tensor, Tensor]]
    """Batches of the validation set, in their fixed order, as often as they are asked for."""
    model: nn.Module
    loss: LossFunction
    groups: tuple[ParamGroup, ...]
    optimizer: Optimizer
    curves: tuple[Curve, ...]
    """The schedule of each group, before `lr_scale`."""
    steering: Steering
    steps: int
    """Planned optimizer steps."""
    warnings: tuple[str, ...]


def build(spec: Spec, name: str) -> Parts:
    """Build a run from its spec; every random number comes from its seed.

    Args:
        spec: a valid spec.
        name: what the run is called, for the policies.

    Raises:
        InvalidSpec: for what only torch, the data and the model can tell.
    """
    seed_everything(spec.train.seed)
    device = find_device(spec.train.device)
    data = load_data(spec.data)
    batches = make_batches(data, spec.data.batch_size, spec.train.seed, device)
    loss = find_loss(spec.train.loss)
    model = build_model(spec.model, data.description).to(device)
    use_threads(spec.train.threads, device, sum(p.numel() for p in model.parameters()))
    groups = make_groups(model, spec.groups)
    check_arguments(spec.optimizer, list(enumerate(spec.groups)))
    optimizer = make_optimizer(spec.optimizer, groups)
    steps = planned_steps(spec, batches.steps_per_epoch)
    curves = make_curves(spec, groups, lrs_of(groups, optimizer), steps, batches)
    if any(curve.momentum for curve in curves) and not has_momentum(optimizer):
        expected = f"false: {spec.optimizer.name} has no momentum to cycle"
        raise InvalidSpec([Violation("schedule.args.cycle_momentum", "true", expected)])
    steering = make_steering(spec, name, groups, curves, steps)
    return Parts(
        spec=spec,
        device=device,
        data=data,
        batches=batches,
        validation=validation_batches(data, VALIDATION_BATCH, device),
        model=model,
        loss=loss,
        groups=groups,
        optimizer=optimizer,
        curves=curves,
        steering=steering,
        steps=steps,
        warnings=(*semantics_of(optimizer), *_blind_policies(spec, steering)),
    )


def seed_everything(seed: int) -> None:
    """Seed every generator that a model, a data set or a plug-in may draw from."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def planned_steps(spec: Spec, steps_per_epoch: int) -> int:
    """Return the length of the run in optimizer steps, at least 1."""
    if spec.train.steps is not None:
        return spec.train.steps
    assert spec.train.epochs is not None
    return max(1, round(spec.train.epochs * steps_per_epoch))


def make_curves(
    spec: Spec, groups: Sequence[ParamGroup], lrs: Sequence[float], steps: int, batches: Batches
) -> tuple[Curve, ...]:
    """Make each group's schedule; groups that start from the same LR share one.

    Args:
        spec: the run's.
        groups: its param groups.
        lrs: the LR that each group's schedule starts from, before `lr_scale`.
        steps: planned optimizer steps.
        batches: what an epoch is.
    """
    made: dict[tuple[float, bool], Curve] = {}
    curves = []
    for group, lr in zip(groups, lrs, strict=True):
        is_own = group.lr is not None or group.terms.optimizer is not None
        if (lr, is_own) not in made:
            run = ScheduleRun(
                lr=lr,
                steps=steps,
                steps_per_epoch=batches.steps_per_epoch,
                batch_size=spec.data.batch_size,
                lr_is_own=is_own,
            )
            made[lr, is_own] = build_schedule(spec.schedule, run)
        curves.append(made[lr, is_own])
    return tuple(curves)


def make_steering(
    spec: Spec, name: str, groups: Sequence[ParamGroup], curves: Sequence[Curve], steps: int
) -> Steering:
    """Put schedules, policies and guardrails together.

    Raises:
        InvalidSpec: if there are guardrails for a group that does not exist.
    """
    names = [group.name for group in groups]
    strangers = [name for name in spec.guardrails.groups if name not in names]
    if strangers:
        expected = f"one of the groups ({', '.join(names)})"
        raise InvalidSpec(
            Violation(f"guardrails.groups.{name}", "", expected) for name in strangers
        )
    described = [group.describe() for group in groups]
    run = RunInfo(
        name=name,
        steps=steps,
        groups=tuple(
            GroupInfo(name=group.name, parameters=group.parameters) for group in described
        ),
        seed=spec.train.seed,
    )
    policies = [
        AttachedPolicy(one.name, build_policy(one, path=f"policies[{index}]"), run)
        for index, one in enumerate(spec.policies)
    ]
    steered = [
        Group(
            group.name,
            curve,
            group.terms.lr_scale,
            guardrails_of(
                spec.guardrails.of(group.name), _scaled(curve, group.terms.lr_scale), steps
            ),
            [policy.name for policy in policies],
        )
        for group, curve in zip(groups, curves, strict=True)
    ]
    return Steering(steered, policies, time.time, spec.guardrails.max_changes_per_minute)


def _blind_policies(spec: Spec, steering: Steering) -> Iterator[str]:
    """Name the policies that will never see what they look for."""
    for policy in steering.policies:
        if spec.train.accumulate == 1 and "gradient_noise" in policy.observes:
            yield (
                f"policy {policy.name} compares micro-batches and there are none: "
                "set train.accumulate to 2 or more, or it never acts"
            )


def _scaled(curve: Curve, scale: float) -> Callable[[int], float]:
    learning_rate = curve.learning_rate
    return lambda step: learning_rate(step) * scale
