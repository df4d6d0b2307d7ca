"""The optimizer a spec names, made over its param groups; where it names several, all as one."""

import importlib
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import torch
from torch.optim import LBFGS, Optimizer

from rheostat.errors import InvalidSpec, Violation
from rheostat.spec.groups import GroupEntry, GroupSpec, HeadPreset, MuonPreset, OptimizerSpec
from rheostat.trainer.fusing import is_fused
from rheostat.trainer.groups import ParamGroup
from rheostat.trainer.sparing import spare_compiler
from rheostat.trainer.split import SplitOptimizer

_SEMANTICS: Mapping[str, str] = {
    r"ASGD$": "{name} steps with a cached eta: an LR change acts one step late and not fully",
    r"Rprop$": "{name} uses the LR only for its first step size: later LR changes do nothing",
    r"Prodigy|DAdapt|Mechanic|DoG$|LDoG$": "{name} finds its own step size, and the LR multiplies "
    "it: keep the schedule's peak at 1, and read an LR change as a multiple of that size",
    r".*ScheduleFree|ScheduleFree": "{name} averages instead of decaying: give it a constant "
    "schedule, with a warm-up at most; LR changes act, and weigh the average from then on",
}
"""By a regular expression of class names: what a person should know of LR changes there."""


def find_optimizer(spec: OptimizerSpec, path: str = "optimizer") -> type[Optimizer]:
    """Return the class: one of `torch.optim`, or `module:Class`.

    Args:
        spec: what names it.
        path: where that stands in the run's spec, for errors.

    Raises:
        InvalidSpec: if there is none, with the closest names.
    """
    if ":" in spec.name:
        module_name, _, attribute = spec.name.partition(":")
        try:
            found = getattr(importlib.import_module(module_name), attribute)
        except (ImportError, AttributeError) as error:
            expected = f"an importable class ({error})"
            raise _violation(f"{path}.name", spec.name, expected) from None
    else:
        found = getattr(torch.optim, spec.name, None)
    if not (isinstance(found, type) and issubclass(found, Optimizer)) or found is Optimizer:
        close = get_close_matches(spec.name, _torch_optimizers(), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        expected = f"a class of torch.optim or module:Class{hint}"
        raise _violation(f"{path}.name", spec.name, expected)
    return found


def check_arguments(
    spec: OptimizerSpec, entries: Sequence[tuple[int, GroupEntry]]
) -> type[Optimizer]:
    """Return the run's class, unless some optimizer is given arguments that it does not have.

    Args:
        spec: the run's optimizer.
        entries: the spec's `groups`, each with its index.

    Raises:
        InvalidSpec: with every unknown name and argument.
    """
    violations: list[Violation] = []
    for path, optimizer, args_path, args in _arguments(spec, entries):
        try:
            cls = find_optimizer(optimizer, path)
        except InvalidSpec as error:
            violations += [one for one in error.violations if one not in violations]
        else:
            violations += _unknown_arguments(cls, args_path, args)
    if violations:
        raise InvalidSpec(violations)
    return find_optimizer(spec)


def _arguments(
    spec: OptimizerSpec, entries: Sequence[tuple[int, GroupEntry]]
) -> Iterator[tuple[str, OptimizerSpec, str, Mapping[str, Any]]]:
    """Yield each mapping of arguments: path and optimizer it is for, its own path, and itself."""
    yield "optimizer", spec, "optimizer.args", spec.args
    for index, entry in entries:
        path = f"groups[{index}]"
        if isinstance(entry, GroupSpec) and entry.optimizer is not None:
            own, own_path = entry.optimizer, f"{path}.optimizer"
            yield own_path, own, f"{own_path}.args", own.args
            yield own_path, own, f"{path}.args", entry.args
        elif isinstance(entry, GroupSpec | HeadPreset):
            yield "optimizer", spec, f"{path}.args", entry.args
        elif isinstance(entry, MuonPreset):
            yield path, entry.optimizer, f"{path}.args", entry.args


def make_optimizer(
    spec: OptimizerSpec, groups: Sequence[ParamGroup], *, may_fuse: bool = False
) -> Optimizer:
    """Make the optimizer with one torch param group per group, in order.

    Groups that have the same optimizer share it; where there are several, they step as one.

    Args:
        spec: the run's.
        groups: what it steps.
        may_fuse: whether it steps in a fused kernel where there is one and the spec says nothing.

    Raises:
        InvalidSpec: if a class refuses its arguments, in its own words; if a preset gives a group
            an argument that its optimizer does not have; or if LBFGS is one of several.
    """
    spare_compiler()
    kinds: list[OptimizerSpec] = []
    for group in groups:
        kind = group.terms.optimizer or spec
        if kind not in kinds:
            kinds.append(kind)
    parts = []
    carriers: dict[str, dict[str, Any]] = {}
    for kind in kinds:
        own = [group for group in groups if (group.terms.optimizer or spec) == kind]
        part = _make_part(kind, own, may_fuse)
        parts.append(part)
        carriers.update(zip((group.name for group in own), part.param_groups, strict=True))
        if len(kinds) > 1 and isinstance(part, LBFGS):
            path = own[0].terms.optimizer_path
            expected = "an optimizer that can step beside others; this one runs the model itself"
            raise _violation(f"{path}.name", kind.name, expected)
    if len(parts) == 1:
        return parts[0]
    return SplitOptimizer(parts, [carriers[group.name] for group in groups])


def _make_part(spec: OptimizerSpec, groups: Sequence[ParamGroup], may_fuse: bool) -> Optimizer:
    path = groups[0].terms.optimizer_path
    cls = find_optimizer(spec, path)
    violations = [
        violation
        for group in groups
        for violation in _unknown_arguments(cls, f"group {group.name}, args", group.terms.args)
    ]
    if violations:
        raise InvalidSpec(violations)
    args = dict(spec.args) if spec.lr is None else {**spec.args, "lr": spec.lr}
    torch_groups = [
        {"params": [parameter for _, parameter in group.parameters], **group.terms.args}
        for group in groups
    ]
    if may_fuse and is_fused(
        cls,
        [args, *(group.terms.args for group in groups)],
        [parameter for group in groups for _, parameter in group.parameters],
    ):
        args["fused"] = True
    try:
        return cls(torch_groups, **args)
    except (ValueError, TypeError, RuntimeError, AssertionError) as error:
        expected = f"what {spec.name} takes: {error}"
        raise _violation(f"{path}.args", repr(args), expected) from error


def lrs_of(groups: Sequence[ParamGroup], optimizer: Optimizer) -> list[float]:
    """Return the LR that each group's schedule starts from, before `lr_scale`.

    It is the group's own, else that of its optimizer: the spec's, or the class's own default.
    """
    return [
        group.lr if group.lr is not None else float(carrier["lr"])
        for group, carrier in zip(groups, optimizer.param_groups, strict=True)
    ]


def parts_of(optimizer: Optimizer) -> tuple[Optimizer, ...]:
    """Return the optimizers that step as one, or the one."""
    return optimizer.parts if isinstance(optimizer, SplitOptimizer) else (optimizer,)


def semantics_of(optimizer: Optimizer) -> tuple[str, ...]:
    """Return what a person should know about how this optimizer obeys LR changes."""
    names = dict.fromkeys(type(part).__name__ for part in parts_of(optimizer))
    return tuple(
        note.format(name=name)
        for name in names
        for family, note in _SEMANTICS.items()
        if re.match(family, name)
    )


def groups_with_momentum(optimizer: Optimizer) -> list[bool]:
    """Return for each group whether it has a momentum to move: `momentum`, or `betas`' first."""
    return ["momentum" in group or "betas" in group for group in optimizer.param_groups]


def _unknown_arguments(
    cls: type[Optimizer], path: str, args: Mapping[str, Any]
) -> Iterator[Violation]:
    """Yield a violation for each argument that a class does not have."""
    known = _keywords(cls)
    for name, value in args.items():
        if known is not None and name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            expected = f"one of {cls.__name__}'s arguments ({', '.join(known)}){hint}"
            yield Violation(f"{path}.{name}", repr(value), expected)


def _keywords(cls: type[Optimizer]) -> list[str] | None:
    """Return the names of a class's arguments, None when it takes any."""
    parameters = list(inspect.signature(cls).parameters.values())[1:]
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return [parameter.name for parameter in parameters if parameter.name != "lr"]


def _torch_optimizers() -> list[str]:
    return [name for name in dir(torch.optim) if isinstance(getattr(torch.optim, name), type)]


def _violation(field: str, value: str, expected: str) -> InvalidSpec:
    return InvalidSpec([Violation(field, value, expected)])
