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
from rheostat.spec.models import Spec
from rheostat.steering.group import Group
from rheostat.steering.guardrails import guardrails_of
from rheostat.steering.policies import Attached, AttachedPolicy
from rheostat.steering.steering import Steering
from rheostat.trainer.activations import forget_activations
from rheostat.trainer.actuator import momenta_of
from rheostat.trainer.curves import CurveShop
from rheostat.trainer.data import Data, load_data
from rheostat.trainer.data.batches import Batches, make_batches, validation_batches
from rheostat.trainer.data.ordering import WHOLE, Share
from rheostat.trainer.devices import find_device, use_threads
from rheostat.trainer.fusing import has_sparse_gradients
from rheostat.trainer.gradients import COMPARING_PARTS
from rheostat.trainer.groups import ParamGroup, make_groups
from rheostat.trainer.joining import make_policy, make_policy_live
from rheostat.trainer.losses import LossFunction, find_loss, for_tokens
from rheostat.trainer.models import build_model
from rheostat.trainer.optimizers import check_arguments, make_optimizer, semantics_of
from rheostat.trainer.parallel import SINGLE, Parallel
from rheostat.trainer.precision import Precision, check_scaling
from rheostat.trainer.ring import lag_of
from rheostat_policies import Curve, GroupInfo, RunInfo

VALIDATION_BATCH = 1000
"""Samples of a validation batch: large for speed, the same in every run for equal sums."""

PolicyJoin = Callable[[RunInfo], Attached]
"""Makes a policy for a run, from what it may know of it beforehand."""


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
    precision: Precision
    groups: tuple[ParamGroup, ...]
    optimizer: Optimizer
    momenta: tuple[float | None, ...]
    """Momentum (or beta1) of each group as the spec wants it; None where there is none."""
    steering: Steering
    lag: int
    """Steps after which the host reads what a step has measured; 0 is at once."""
    steps: int
    """Planned optimizer steps, until somebody moves the horizon."""
    warnings: tuple[str, ...]


def build(
    spec: Spec,
    name: str,
    *,
    data: Data | None = None,
    join: PolicyJoin | None = None,
    share: Share = WHOLE,
    parallel: Parallel = SINGLE,
) -> Parts:
    """Build a run from its spec; every random number comes from its seed.

    Args:
        spec: a valid spec.
        name: what the run is called, for the policies.
        data: what `spec.data` stands for, where it has been read before; None is to read it now.
        join: makes a policy that takes part beside those of the spec.
        share: of each batch that this process has.
        parallel: how the run's processes work on the model.

    Raises:
        InvalidSpec: for what only torch, the data and the model can tell.
    """
    seed_everything(spec.train.seed)
    device = find_device(spec.train.device)
    data = load_data(spec.data) if data is None else data
    batches = make_batches(data, spec.data.batch_size, spec.train.seed, device, spec.data, share)
    loss = find_loss(spec.train.loss)
    if data.description.is_per_token:
        loss = for_tokens(loss)
    precision = Precision(spec.train.precision, device)
    model = build_model(spec.model, data.description).to(device)
    if spec.train.channels_last:
        # Convolutions bring their inputs to the form of their weights.
        model = model.to(memory_format=torch.channels_last)
    forget_activations(model, spec.train.activation_checkpointing)
    use_threads(spec.train.threads, device, sum(p.numel() for p in model.parameters()))
    parallel.prepare(model)
    groups = make_groups(model, spec.groups)
    check_arguments(spec.optimizer, list(enumerate(spec.groups)))
    # A compiled step makes kernels of its own, and these are no worse.
    may_fuse = not spec.train.compile and not has_sparse_gradients(model)
    optimizer = make_optimizer(spec.optimizer, groups, may_fuse=may_fuse)
    check_scaling(spec.train.precision, optimizer)
    lag = lag_of(spec.train, optimizer, device)
    steps = planned_steps(spec, batches.steps_per_epoch)
    curves = CurveShop(spec, groups, optimizer, batches)
    steering = make_steering(spec, name, groups, curves, steps, join)
    return Parts(
        spec=spec,
        device=device,
        data=data,
        batches=batches,
        validation=validation_batches(data, VALIDATION_BATCH, device, spec.data),
        model=model,
        loss=loss,
        precision=precision,
        groups=groups,
        optimizer=optimizer,
        momenta=momenta_of(optimizer),
        steering=steering,
        lag=lag,
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


def make_steering(
    spec: Spec,
    name: str,
    groups: Sequence[ParamGroup],
    curves: CurveShop,
    steps: int,
    join: PolicyJoin | None = None,
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
    policies: list[Attached] = [
        make_policy(one, f"policies[{index}]", run) for index, one in enumerate(spec.policies)
    ]
    if join is not None:
        policies.append(join(run))
    return Steering(
        [_steered(spec, group, curves.make(group.name, None, steps), steps) for group in groups],
        policies,
        time.time,
        steps=steps,
        make_curve=curves.make,
        make_policy=lambda edit: make_policy_live(edit, run),
        max_changes_per_minute=spec.guardrails.max_changes_per_minute,
    )


def _steered(spec: Spec, group: ParamGroup, curve: Curve, steps: int) -> Group:
    scale = group.terms.lr_scale
    bounds = guardrails_of(spec.guardrails.of(group.name), _scaled(curve, scale), steps)
    return Group(group.name, curve, scale, bounds)


def _blind_policies(spec: Spec, steering: Steering) -> Iterator[str]:
    """Name the policies that will never see what they look for."""
    for policy in steering.roster.policies:
        if spec.train.accumulate == 1 and "gradient_noise" in policy.observes:
            yield (
                f"policy {policy.name} compares micro-batches and there are none: "
                "set train.accumulate to 2 or more, or it never acts"
            )
        if spec.train.processes * spec.train.nodes > 1 and COMPARING_PARTS & set(policy.observes):
            yield (
                f"policy {policy.name} compares micro-batches, which is done where one process "
                "has them all: with several it never acts"
            )
        kept = spec.checkpoint
        has_way_back = kept.every or kept.seconds or kept.snapshots
        mends = isinstance(policy, AttachedPolicy) and policy.mends_non_finite
        if mends and not has_way_back:
            yield (
                f"policy {policy.name} goes back to checkpoints and none are taken by themselves: "
                "set checkpoint.every, or it only cuts the LR"
            )


def _scaled(curve: Curve, scale: float) -> Callable[[int], float]:
    learning_rate = curve.learning_rate
    return lambda step: learning_rate(step) * scale
