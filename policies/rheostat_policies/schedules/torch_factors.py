"""Torch's schedules that multiply the LR by a factor of the step."""

from bisect import bisect_right
from collections.abc import Sequence

from rheostat_policies.schedules.api import Curve, ScheduleRun
from rheostat_policies.schedules.checks import require
from rheostat_policies.schedules.durations import Duration, duration
from rheostat_policies.schedules.shapes import geometric, polynomial


def StepLR(run: ScheduleRun, *, step_size: Duration, gamma: float = 0.1) -> Curve:
    """Multiply the LR by `gamma` every `step_size` steps.

        lr(t) = lr * gamma ** (t // step_size)

    Source: torch.optim.lr_scheduler.StepLR

    Args:
        run: the run the curve is for.
        step_size: time between two drops, at least 1 step.
        gamma: factor of each drop, > 0.

    Raises:
        ValueError: if an argument is out of its range.

    >>> curve = StepLR(ScheduleRun(lr=0.1, steps=30, steps_per_epoch=5), step_size=10, gamma=0.5)
    >>> [curve.learning_rate(step) for step in (0, 9, 10, 20)]
    [0.1, 0.1, 0.05, 0.025]
    """
    every = duration(step_size, run, "step_size", least=1)
    require(gamma > 0, "gamma", gamma, "be greater than 0")
    decayed = geometric(run.lr, gamma)
    return Curve(learning_rate=lambda step: decayed(step // every))


def MultiStepLR(run: ScheduleRun, *, milestones: Sequence[Duration], gamma: float = 0.1) -> Curve:
    """Multiply the LR by `gamma` at each milestone.

        lr(t) = lr * gamma ** (number of milestones <= t)

    Source: torch.optim.lr_scheduler.MultiStepLR

    Args:
        run: the run the curve is for.
        milestones: when the LR drops, in any order; one named twice counts twice.
        gamma: factor of each drop, > 0.

    Raises:
        ValueError: if an argument is out of its range.

    >>> run = ScheduleRun(lr=1.0, steps=30, steps_per_epoch=5)
    >>> curve = MultiStepLR(run, milestones=["2ep", 20], gamma=0.5)
    >>> [curve.learning_rate(step) for step in (0, 9, 10, 20)]
    [1.0, 1.0, 0.5, 0.25]
    """
    drops = sorted(duration(each, run, "milestones") for each in milestones)
    require(gamma > 0, "gamma", gamma, "be greater than 0")
    decayed = geometric(run.lr, gamma)
    return Curve(learning_rate=lambda step: decayed(bisect_right(drops, step)))


def ExponentialLR(run: ScheduleRun, *, gamma: float) -> Curve:
    """Multiply the LR by `gamma` at every step.

        lr(t) = lr * gamma ** t

    Source: torch.optim.lr_scheduler.ExponentialLR

    Args:
        run: the run the curve is for.
        gamma: factor of one step, > 0; above 1 for a range test, which ends at an LR of 1e300.

    Raises:
        ValueError: if `gamma` is out of its range.

    >>> curve = ExponentialLR(ScheduleRun(lr=1.0, steps=30, steps_per_epoch=5), gamma=0.5)
    >>> [curve.learning_rate(step) for step in (0, 1, 2)]
    [1.0, 0.5, 0.25]
    """
    require(gamma > 0, "gamma", gamma, "be greater than 0")
    return Curve(learning_rate=geometric(run.lr, gamma))


def ConstantLR(run: ScheduleRun, *, factor: float = 1.0 / 3, total_iters: Duration = 5) -> Curve:
    """Hold back the LR by `factor`, until `total_iters`.

        lr(t) = lr * factor     t < total_iters
        lr(t) = lr              otherwise

    Source: torch.optim.lr_scheduler.ConstantLR

    Args:
        run: the run the curve is for.
        factor: what the LR is multiplied by, 0 to 1.
        total_iters: when it is let go.

    Raises:
        ValueError: if an argument is out of its range.

    >>> run = ScheduleRun(lr=1.0, steps=30, steps_per_epoch=5)
    >>> curve = ConstantLR(run, factor=0.5, total_iters=4)
    >>> [curve.learning_rate(step) for step in (0, 3, 4)]
    [0.5, 0.5, 1.0]
    """
    require(0 <= factor <= 1, "factor", factor, "be 0 to 1")
    until = duration(total_iters, run, "total_iters")
    lr, held = run.lr, run.lr * factor
    return Curve(learning_rate=lambda step: held if step < until else lr)


def LinearLR(
    run: ScheduleRun,
    *,
    start_factor: float = 1.0 / 3,
    end_factor: float = 1.0,
    total_iters: Duration = 5,
) -> Curve:
    """Move the LR evenly from one factor to another over `total_iters`.

        lr(t) = lr * (start_factor + (end_factor - start_factor) * p)
        p     = min(t, total_iters) / total_iters

    Source: torch.optim.lr_scheduler.LinearLR

    Args:
        run: the run the curve is for.
        start_factor: factor of the first step, above 0 to 1.
        end_factor: factor from `total_iters` on, 0 to 1.
        total_iters: time from one to the other, at least 1 step.

    Raises:
        ValueError: if an argument is out of its range.

    >>> run = ScheduleRun(lr=1.0, steps=30, steps_per_epoch=5)
    >>> curve = LinearLR(run, start_factor=0.5, total_iters=4)
    >>> [curve.learning_rate(step) for step in (0, 2, 4, 9)]
    [0.5, 0.75, 1.0, 1.0]
    """
    require(0 < start_factor <= 1, "start_factor", start_factor, "be above 0 to 1")
    require(0 <= end_factor <= 1, "end_factor", end_factor, "be 0 to 1")
    total = duration(total_iters, run, "total_iters", least=1)
    lr, rise = run.lr, end_factor - start_factor
    return Curve(
        learning_rate=lambda step: (
            lr * (start_factor + rise * (step if step < total else total) / total)
        )
    )


def PolynomialLR(run: ScheduleRun, *, total_iters: Duration = 5, power: float = 1.0) -> Curve:
    """Fall to 0 over `total_iters`, as a power of what is left.

        lr(t) = lr * (1 - min(t, total_iters) / total_iters) ** power

    Source: torch.optim.lr_scheduler.PolynomialLR

    Args:
        run: the run the curve is for.
        total_iters: time until 0, at least 1 step.
        power: 1 falls evenly, more falls faster at first; >= 0.

    Raises:
        ValueError: if an argument is out of its range.

    >>> run = ScheduleRun(lr=1.0, steps=30, steps_per_epoch=5)
    >>> curve = PolynomialLR(run, total_iters=4, power=2.0)
    >>> [curve.learning_rate(step) for step in (0, 2, 4, 9)]
    [1.0, 0.25, 0.0, 0.0]
    """
    total = duration(total_iters, run, "total_iters", least=1)
    require(power >= 0, "power", power, "be at least 0")
    lr, fall = run.lr, polynomial(power)
    return Curve(learning_rate=lambda step: lr * fall(step / total))
