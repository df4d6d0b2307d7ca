"""Param groups: which parameter belongs to which, by name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from rheostat.errors import InvalidSpec, Violation
from rheostat.runs.records import GroupDescription
from rheostat.spec.models import GroupSpec

DEFAULT_GROUP = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParamGroup:
    """A named, disjoint set of parameters with what the spec says of them."""

    name: str
    parameters: tuple[tuple[str, nn.Parameter], ...]
    """Names in the model, and the parameters."""
    lr: float | None
    lr_scale: float
    args: dict[str, Any]
    """Optimizer arguments of this group only."""

    def describe(self) -> GroupDescription:
        """Return what people and scripts are told of the group."""
        return GroupDescription(
            name=self.name,
            tensors=len(self.parameters),
            parameters=sum(parameter.numel() for _, parameter in self.parameters),
            lr=self.lr,
            lr_scale=self.lr_scale,
            names=tuple(name for name, _ in self.parameters),
        )


def make_groups(model: nn.Module, rules: Sequence[GroupSpec]) -> tuple[ParamGroup, ...]:
    """Put every trainable parameter into exactly one group.

    The first rule whose regular expression is found in the parameter's name takes it; what no rule
    takes is the group `default`, which comes last.

    Raises:
        InvalidSpec: if a rule takes nothing, or the model has nothing to train.
    """
    taken: dict[str, list[tuple[str, nn.Parameter]]] = {rule.name: [] for rule in rules}
    rest: list[tuple[str, nn.Parameter]] = []
    patterns = [(rule.name, re.compile(rule.match)) for rule in rules]
    trainable = [named for named in model.named_parameters() if named[1].requires_grad]
    for name, parameter in trainable:
        owner = next((group for group, pattern in patterns if pattern.search(name)), None)
        (rest if owner is None else taken[owner]).append((name, parameter))

    if not trainable:
        raise InvalidSpec([Violation("model.name", "", "a model with trainable parameters")])
    some = ", ".join(name for name, _ in trainable[:8])
    violations = [
        Violation(
            f"groups[{index}].match",
            rule.match,
            f"a regular expression that takes at least one parameter (names start with: {some})",
        )
        for index, rule in enumerate(rules)
        if not taken[rule.name]
    ]
    if violations:
        raise InvalidSpec(violations)

    groups = [
        ParamGroup(
            name=rule.name,
            parameters=tuple(taken[rule.name]),
            lr=rule.lr,
            lr_scale=rule.lr_scale,
            args=dict(rule.args),
        )
        for rule in rules
    ]
    if rest:
        name = DEFAULT_GROUP
        groups.append(ParamGroup(name=name, parameters=tuple(rest), lr=None, lr_scale=1.0, args={}))
    return tuple(groups)
