"""What a schedule is: a factory that turns a run and its arguments into a curve over the steps."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRun:
    """What a schedule may know of the run it is made for."""

    lr: float
    """The LR of the spec: the group's own `lr`, else the optimizer's; most schedules peak here."""
    steps: int
    """Planned number of optimizer steps."""
    steps_per_epoch: int
    """Optimizer steps in one pass over the training data."""
    batch_size: int = 1
    """Samples that one optimizer step learns from, over all processes and accumulated batches."""
    lr_is_own: bool = False
    """Whether `lr` is the group's own, so that a schedule which states its own peak must refuse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A schedule made for one run: pure functions of the step, counted from 0."""

    learning_rate: Callable[[int], float]
    """The base LR of a step, for every step >= 0, past the planned end too."""
    momentum: Callable[[int], float | None] | None = None
    """The momentum (`momentum`, or beta1 of Adam's family) of a step; None, of a step or
    altogether, leaves it alone."""


class Schedule(Protocol):
    """A schedule type: called once per group with the spec's `args` as keyword arguments.

    A mistake in the arguments is a `ValueError` that names the argument and its value.
    """

    def __call__(self, run: ScheduleRun, /, **args: Any) -> Curve:
        """Return the curve of this run."""
        ...
