"""The optimizer a spec names, made over its param groups."""

import importlib
import inspect
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import torch
from torch.optim import Optimizer

from rheostat.errors import InvalidSpec, Violation
from rheostat.spec.models import OptimizerSpec
from rheostat.trainer.groups import ParamGroup


def find_optimizer(spec: OptimizerSpec) -> type[Optimizer]:
    """Return the class: one of `torch.optim`, or `module:Class`.

    Raises:
        InvalidSpec: if there is none, with the closest names.
    """
    if ":" in spec.name:
        module_name, _, attribute = spec.name.partition(":")
        try:
            found = getattr(importlib.import_module(module_name), attribute)
        except (ImportError, AttributeError) as error:
            expected = f"an importable class ({error})"
            raise _violation("optimizer.name", spec.name, expected) from None
    else:
        found = getattr(torch.optim, spec.name, None)
    if not (isinstance(found, type) and issubclass(found, Optimizer)) or found is Optimizer:
        close = get_close_matches(spec.name, _torch_optimizers(), n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        expected = f"a class of torch.optim or module:Class{hint}"
        raise _violation("optimizer.name", spec.name, expected)
    return found


def check_arguments(
    spec: OptimizerSpec, groups: Sequence[tuple[str, dict[str, Any]]]
) -> type[Optimizer]:
    """Return the class, unless it is given arguments that its signature does not have.

    Args:
        spec: the optimizer, with its arguments.
        groups: field path and arguments of each group that has some of its own.

    Raises:
        InvalidSpec: with every unknown argument.
    """
    cls = find_optimizer(spec)
    known = _keywords(cls)
    if known is None:
        return cls
    violations = []
    for path, args in [("optimizer.args", spec.args), *groups]:
        for name, value in args.items():
            if name not in known:
                close = get_close_matches(name, known, n=1)
                hint = f"; did you mean {close[0]}?" if close else ""
                expected = f"one of {spec.name}'s arguments ({', '.join(known)}){hint}"
                violations.append(Violation(f"{path}.{name}", repr(value), expected))
    if violations:
        raise InvalidSpec(violations)
    return cls


def make_optimizer(spec: OptimizerSpec, groups: Sequence[ParamGroup]) -> Optimizer:
    """Make the optimizer with one torch param group per group, in order.

    Raises:
        InvalidSpec: if the class refuses its arguments, in its own words.
    """
    cls = find_optimizer(spec)
    args = dict(spec.args) if spec.lr is None else {**spec.args, "lr": spec.lr}
    torch_groups = [
        {"params": [parameter for _, parameter in group.parameters], **group.args}
        for group in groups
    ]
    try:
        return cls(torch_groups, **args)
    except (ValueError, TypeError, RuntimeError, AssertionError) as error:
        expected = f"what {spec.name} takes: {error}"
        raise _violation("optimizer.args", repr(args), expected) from error


def lr_of(spec: OptimizerSpec, optimizer: Optimizer) -> float:
    """Return the LR that schedules start from: the spec's, else the class's own default."""
    return spec.lr if spec.lr is not None else float(optimizer.param_groups[0]["lr"])


def semantics_of(optimizer: Optimizer) -> tuple[str, ...]:
    """Return what a person should know about how this optimizer obeys LR changes."""
    notes = {
        "ASGD": "ASGD steps with a cached eta: an LR change acts one step late and not fully",
        "Rprop": "Rprop uses the LR only for its first step size: later LR changes do nothing",
    }
    note = notes.get(type(optimizer).__name__)
    return () if note is None else (note,)


def has_momentum(optimizer: Optimizer) -> bool:
    """Whether a schedule can move a momentum (`momentum` or the first of `betas`)."""
    return all("momentum" in group or "betas" in group for group in optimizer.param_groups)


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
