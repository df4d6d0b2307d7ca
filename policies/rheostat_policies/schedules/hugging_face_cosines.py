"""The cosines of transformers' `get_scheduler`, by its names."""

import math

from rheostat_policies.schedules.api import Curve, ScheduleRun
from rheostat_policies.schedules.checks import require
from rheostat_policies.schedules.durations import Duration, duration
from rheostat_policies.schedules.shapes import cosine as cosine_fall


def cosine(
    run: ScheduleRun,
    *,
    num_warmup_steps: Duration = 0,
    num_training_steps: Duration = "1dur",
    num_cycles: float = 0.5,
) -> Curve:
    """Rise evenly from 0, then follow a cosine of `num_cycles` waves, down and up.

        lr(t) = lr * t / num_warmup_steps                                       t < num_warmup_steps
        lr(t) = lr * (1 + cos(2 * pi * num_cycles * p)) / 2                     otherwise
        p     = (t - num_warmup_steps) / (num_training_steps - num_warmup_steps)

    Like the original it rises again after `num_training_steps`; `warmup_cosine` stays down.

    Source: transformers.get_cosine_schedule_with_warmup

    Args:
        run: the run the curve is for.
        num_warmup_steps: time of the rise.
        num_training_steps: when the waves are over.
        num_cycles: number of waves, >= 0; 0.5 ends at 0.

    Raises:
        ValueError: if an argument is out of its range.

    >>> curve = cosine(ScheduleRun(lr=1.0, steps=12, steps_per_epoch=4), num_warmup_steps=2)
    >>> [round(curve.learning_rate(step), 6) for step in (0, 1, 2, 7, 12)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    return _waves(run, num_warmup_steps, num_training_steps, num_cycles, least=0.0)


def cosine_with_min_lr(
    run: ScheduleRun,
    *,
    num_warmup_steps: Duration = 0,
    num_training_steps: Duration = "1dur",
    num_cycles: float = 0.5,
    min_lr: float | None = None,
    min_lr_rate: float | None = None,
) -> Curve:
    """Rise evenly from 0, then follow a cosine down to a floor.

        lr(t) = lr * t / num_warmup_steps                                       t < num_warmup_steps
        lr(t) = min_lr + (lr - min_lr) * (1 + cos(2 * pi * num_cycles * p)) / 2    otherwise
        p     = (t - num_warmup_steps) / (num_training_steps - num_warmup_steps)

    Source: transformers.get_cosine_with_min_lr_schedule_with_warmup

    Args:
        run: the run the curve is for.
        num_warmup_steps: time of the rise.
        num_training_steps: when the waves are over.
        num_cycles: number of waves, >= 0; 0.5 ends at the floor.
        min_lr: the floor, 0 to the spec's LR; either this or `min_lr_rate`.
        min_lr_rate: the floor as a share of the spec's LR, 0 to 1.

    Raises:
        ValueError: if an argument is out of its range, or not one of the two floors is given.

    >>> run = ScheduleRun(lr=1.0, steps=10, steps_per_epoch=4)
    >>> curve = cosine_with_min_lr(run, min_lr_rate=0.1)
    >>> [round(curve.learning_rate(step), 6) for step in (0, 5, 10)]
    [1.0, 0.55, 0.1]
    """
    least = _floor(run, min_lr, min_lr_rate)
    return _waves(run, num_warmup_steps, num_training_steps, num_cycles, least)


def cosine_with_restarts(
    run: ScheduleRun,
    *,
    num_warmup_steps: Duration = 0,
    num_training_steps: Duration = "1dur",
    num_cycles: int = 1,
) -> Curve:
    """Rise evenly from 0, then fall to 0 along half a cosine, `num_cycles` times.

        lr(t) = lr * t / num_warmup_steps                                       t < num_warmup_steps
        lr(t) = lr * (1 + cos(pi * (num_cycles * p mod 1))) / 2                 p < 1
        lr(t) = 0                                                               otherwise
        p     = (t - num_warmup_steps) / (num_training_steps - num_warmup_steps)

    Source: transformers.get_cosine_with_hard_restarts_schedule_with_warmup

    Args:
        run: the run the curve is for.
        num_warmup_steps: time of the rise.
        num_training_steps: when the last fall is over.
        num_cycles: number of falls, >= 1.

    Raises:
        ValueError: if an argument is out of its range.

    >>> run = ScheduleRun(lr=1.0, steps=20, steps_per_epoch=4)
    >>> curve = cosine_with_restarts(run, num_cycles=2)
    >>> [round(curve.learning_rate(step), 6) for step in (0, 5, 10, 15, 20)]
    [1.0, 0.5, 1.0, 0.5, 0.0]
    """
    require(num_cycles >= 1, "num_cycles", num_cycles, "be at least 1")
    warmup = duration(num_warmup_steps, run, "num_warmup_steps")
    total = duration(num_training_steps, run, "num_training_steps", least=1)
    lr, span = run.lr, max(1, total - warmup)

    def learning_rate(step: int) -> float:
        if step < warmup:
            return lr * (step / warmup)
        progress = (step - warmup) / span
        return lr * cosine_fall((num_cycles * progress) % 1.0) if progress < 1.0 else 0.0

    return Curve(learning_rate=learning_rate)


def cosine_warmup_with_min_lr(
    run: ScheduleRun,
    *,
    num_warmup_steps: Duration = 0,
    num_training_steps: Duration = "1dur",
    num_cycles: float = 0.5,
    min_lr: float | None = None,
    min_lr_rate: float | None = None,
    warmup_lr_rate: float | None = None,
) -> Curve:
    """Rise evenly from above 0, then follow a cosine that is at its floor in the last step.

        lr(t) = lr * (r + (1 - r) * t / (num_warmup_steps - 1))                 t < num_warmup_steps
        lr(t) = min_lr + (lr - min_lr) * (1 + cos(2 * pi * num_cycles * p)) / 2    otherwise
        p     = (t - num_warmup_steps + 1) / (num_training_steps - num_warmup_steps)

    Here r is `warmup_lr_rate`; without it the rise is lr * (t + 1) / num_warmup_steps.

    Source: transformers.get_cosine_with_min_lr_schedule_with_warmup_lr_rate

    Args:
        run: the run the curve is for.
        num_warmup_steps: time of the rise.
        num_training_steps: when the waves are over.
        num_cycles: number of waves, >= 0; 0.5 ends at the floor.
        min_lr: the floor, 0 to the spec's LR; either this or `min_lr_rate`.
        min_lr_rate: the floor as a share of the spec's LR, 0 to 1.
        warmup_lr_rate: the first LR as a share of the spec's, 0 to 1.

    Raises:
        ValueError: if an argument is out of its range, or not one of the two floors is given.

    >>> run = ScheduleRun(lr=1.0, steps=12, steps_per_epoch=4)
    >>> curve = cosine_warmup_with_min_lr(run, num_warmup_steps=2, min_lr_rate=0.1)
    >>> [round(curve.learning_rate(step), 6) for step in (0, 1, 6, 11)]
    [0.5, 1.0, 0.55, 0.1]
    """
    least = _floor(run, min_lr, min_lr_rate)
    require(num_cycles >= 0, "num_cycles", num_cycles, "be at least 0")
    warmup = duration(num_warmup_steps, run, "num_warmup_steps")
    total = duration(num_training_steps, run, "num_training_steps", least=1)
    if warmup_lr_rate is None:
        first, rise = 1.0 / max(1, warmup), 1.0 / max(1, warmup)
    else:
        require(0 <= warmup_lr_rate <= 1, "warmup_lr_rate", warmup_lr_rate, "be 0 to 1")
        first, rise = warmup_lr_rate, (1.0 - warmup_lr_rate) / max(1, warmup - 1)
    lr, span, halves = run.lr, max(1, total - warmup), 2.0 * num_cycles

    def learning_rate(step: int) -> float:
        if step < warmup:
            return lr * (first + rise * step)
        left = cosine_fall(halves * ((step - warmup + 1) / span))
        return lr * (left * (1.0 - least) + least)

    return Curve(learning_rate=learning_rate)


def _waves(
    run: ScheduleRun,
    num_warmup_steps: Duration,
    num_training_steps: Duration,
    num_cycles: float,
    least: float,
) -> Curve:
    require(num_cycles >= 0, "num_cycles", num_cycles, "be at least 0")
    warmup = duration(num_warmup_steps, run, "num_warmup_steps")
    total = duration(num_training_steps, run, "num_training_steps", least=1)
    lr, span, cos = run.lr, max(1, total - warmup), math.cos
    angle, height = math.pi * num_cycles * 2.0, (1.0 - least) / 2.0

    def learning_rate(step: int) -> float:
        if step < warmup:
            return lr * (step / warmup)
        return lr * (height * (1.0 + cos(angle * ((step - warmup) / span))) + least)

    return Curve(learning_rate=learning_rate)


def _floor(run: ScheduleRun, min_lr: float | None, min_lr_rate: float | None) -> float:
    """Return the floor as a share of the spec's LR."""
    if min_lr is not None:
        require(min_lr_rate is None, "min_lr_rate", min_lr_rate, "be left out beside min_lr")
        require(0 <= min_lr <= run.lr, "min_lr", min_lr, f"be 0 to the spec's lr of {run.lr}")
        return min_lr / run.lr
    if min_lr_rate is None:
        raise ValueError("min_lr=None must be given, or min_lr_rate")
    require(0 <= min_lr_rate <= 1, "min_lr_rate", min_lr_rate, "be 0 to 1")
    return min_lr_rate
