"""A place in the spec, and the param group that comes of it."""

import json
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from rheostat.runs.records import GroupDescription
from rheostat.spec.groups import OptimizerSpec
from rheostat.spec.schedules import ScheduleSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How some parameters are stepped, as far as the spec says it for them in particular."""

    lr: float | None = None
    """An LR of their own; None is that of their optimizer."""
    lr_scale: float = 1.0
    args: dict[str, Any] = field(default_factory=dict)
    """Optimizer arguments."""
    optimizer: OptimizerSpec | None = None
    """An optimizer of their own; None is the run's."""
    optimizer_path: str = field(default="optimizer", compare=False)
    """Field of the spec that chose the optimizer, for errors."""
    schedule: ScheduleSpec | None = None
    """A schedule of their own; None is the run's."""
    schedule_path: str = field(default="schedule", compare=False)
    """Field of the spec that chose the schedule, for errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A name, and what an entry of the spec says of the parameters under it."""

    name: str
    terms: Terms = field(default_factory=Terms)

    @property
    def is_bare(self) -> bool:
        """Whether nothing is said: the place exists for its name, to be steered by it."""
        return self.terms == Terms()


@dataclass(frozen=True, slots=True, kw_only=True)
class ParamGroup:
    """A named, disjoint set of parameters with what the spec says of them."""

    name: str
    parameters: tuple[tuple[str, nn.Parameter], ...]
    """Names in the model, and the parameters."""
    terms: Terms = field(default_factory=Terms)

    @property
    def lr(self) -> float | None:
        """The group's own LR; None where it uses its optimizer's."""
        own = self.terms.optimizer
        return own.lr if self.terms.lr is None and own is not None else self.terms.lr

    def describe(self) -> GroupDescription:
        """Return what people and scripts are told of the group."""
        terms = self.terms
        return GroupDescription(
            name=self.name,
            tensors=len(self.parameters),
            parameters=sum(parameter.numel() for _, parameter in self.parameters),
            lr=self.lr,
            lr_scale=terms.lr_scale,
            names=tuple(name for name, _ in self.parameters),
            optimizer=None if terms.optimizer is None else terms.optimizer.name,
            args={name: json.dumps(value) for name, value in terms.args.items()},
            schedule=None if terms.schedule is None else terms.schedule.name,
        )
