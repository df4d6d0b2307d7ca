"""The param groups of a script's optimizer, under names that people can say."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from rheostat.errors import InvalidRequest, Violation
from rheostat.runs.records import GroupDescription

ParamNames = nn.Module | Iterable[tuple[str, Tensor]]
"""A model, or what its `named_parameters()` returns."""


def describe_groups(
    optimizer: Optimizer,
    names: Sequence[str] | None = None,
    param_names: ParamNames | None = None,
) -> tuple[GroupDescription, ...]:
    """Return the groups of an optimizer in their order.

    A group is called as `names` says, or its own key `name`, or the module that all of its
    parameters belong to, where these names differ; else `group_0`, `group_1` and so on, and the
    only one `default`.

    Args:
        optimizer: the script's.
        names: one per group.
        param_names: what the parameters are called, where the optimizer was not given their names.

    Raises:
        InvalidRequest: if the names are not one for each group, each another.
    """
    known = _names_by_parameter(param_names)
    parameters = [list(_parameter_names(group, known)) for group in optimizer.param_groups]
    chosen = _checked(names, parameters) if names is not None else _made(optimizer, parameters)
    return tuple(
        GroupDescription(
            name=name,
            tensors=len(group["params"]),
            parameters=sum(one.numel() for one in group["params"]),
            lr_scale=1.0,
            names=tuple(inside),
        )
        for name, group, inside in zip(chosen, optimizer.param_groups, parameters, strict=True)
    )


def _names_by_parameter(param_names: ParamNames | None) -> dict[int, str]:
    if param_names is None:
        return {}
    if isinstance(param_names, nn.Module):
        param_names = param_names.named_parameters()
    return {id(parameter): name for name, parameter in param_names}


def _parameter_names(group: dict[str, Any], known: dict[int, str]) -> Iterator[str]:
    """Yield the names of a group's parameters, as far as they have any."""
    own = group.get("param_names") or ()
    for index, parameter in enumerate(group["params"]):
        name = known.get(id(parameter)) or (own[index] if index < len(own) else "")
        if name:
            yield name


def _checked(names: Sequence[str], groups: Sequence[object]) -> list[str]:
    names = list(names)
    if len(names) != len(groups):
        expected = f"{len(groups)} names, one for each param group of the optimizer"
        raise InvalidRequest([Violation("groups", f"{len(names)} names", expected)])
    wrong = [
        Violation(f"groups[{index}]", repr(name), "a text that no other group is called")
        for index, name in enumerate(names)
        if not isinstance(name, str) or not name or name in names[:index]
    ]
    if wrong:
        raise InvalidRequest(wrong)
    return names


def _made(optimizer: Optimizer, parameters: Sequence[Sequence[str]]) -> list[str]:
    own = [group.get("name") for group in optimizer.param_groups]
    if len(own) == 1:
        return [str(own[0] or "default")]
    modules = [_module_of(names) for names in parameters]
    for candidates in (own, modules):
        found = [str(one) for one in candidates if one]
        if len(set(found)) == len(own):
            return found
    return [f"group_{index}" for index in range(len(own))]


def _module_of(names: Sequence[str]) -> str:
    """Return the innermost module that all parameters are in; empty where that is the model."""
    if not names:
        return ""
    paths = [name.split(".")[:-1] for name in names]
    common = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return ".".join(common)
