"""The schedules of transformers' `get_scheduler`, by its names, except its cosines and WSD."""

import math

from rheostat_policies.schedules.api import Curve, ScheduleRun
from rheostat_policies.schedules.checks import require
from rheostat_policies.schedules.durations import Duration, duration
from rheostat_policies.schedules.shapes import polynomial as polynomial_fall


def linear(
    run: ScheduleRun,
    *,
    num_warmup_steps: Duration = 0,
    num_training_steps: Duration = "1dur",
) -> Curve:
    """Rise evenly from 0, then fall evenly to 0.

        lr(t) = lr * t / num_warmup_steps                                       t < num_warmup_steps
        lr(t) = lr * (num_training_steps - t) / (num_training_steps - num_warmup_steps)    otherwise

    Source: transformers.get_linear_schedule_with_warmup

    Args:
        run: the run the curve is for.
        num_warmup_steps: time of the rise.
        num_training_steps: when 0 is reached.

    Raises:
        ValueError: if an argument is no duration.

    >>> curve = linear(ScheduleRun(lr=1.0, steps=12, steps_per_epoch=4), num_warmup_steps=2)
    >>> [curve.learning_rate(step) for step in (0, 1, 2, 7, 12, 99)]
    [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]
    """
    warmup = duration(num_warmup_steps, run, "num_warmup_steps")
    total = duration(num_training_steps, run, "num_training_steps", least=1)
    lr, span = run.lr, max(1, total - warmup)

    def learning_rate(step: int) -> float:
        if step < warmup:
            return lr * (step / warmup)
        return lr * ((total - step) / span) if step < total else 0.0

    return Curve(learning_rate=learning_rate)


def constant_with_warmup(run: ScheduleRun, *, num_warmup_steps: Duration = 0) -> Curve:
    """Rise evenly from 0, then stay.

        lr(t) = lr * min(1, t / num_warmup_steps)

    Source: transformers.get_constant_schedule_with_warmup

    Args:
        run: the run the curve is for.
        num_warmup_steps: time of the rise.

    Raises:
        ValueError: if it is no duration.

    >>> run = ScheduleRun(lr=1.0, steps=12, steps_per_epoch=4)
    >>> curve = constant_with_warmup(run, num_warmup_steps=4)
    >>> [curve.learning_rate(step) for step in (0, 1, 4, 99)]
    [0.0, 0.25, 1.0, 1.0]
    """
    warmup = duration(num_warmup_steps, run, "num_warmup_steps")
    lr = run.lr
    return Curve(learning_rate=lambda step: lr * (step / warmup) if step < warmup else lr)


def polynomial(
    run: ScheduleRun,
    *,
    num_warmup_steps: Duration = 0,
    num_training_steps: Duration = "1dur",
    lr_end: float = 1e-7,
    power: float = 1.0,
) -> Curve:
    """Rise evenly from 0, then fall to `lr_end` as a power of what is left.

        lr(t) = lr * t / num_warmup_steps                                       t < num_warmup_steps
        lr(t) = lr_end + (lr - lr_end) * (1 - p) ** power                       otherwise
        p     = min(1, (t - num_warmup_steps) / (num_training_steps - num_warmup_steps))

    Source: transformers.get_polynomial_decay_schedule_with_warmup

    Args:
        run: the run the curve is for.
        num_warmup_steps: time of the rise.
        num_training_steps: when `lr_end` is reached.
        lr_end: LR at the end and after it, 0 to below the spec's LR.
        power: 1 falls evenly, more falls faster at first; >= 0.

    Raises:
        ValueError: if an argument is out of its range.

    >>> run = ScheduleRun(lr=1.0, steps=12, steps_per_epoch=4)
    >>> curve = polynomial(run, num_warmup_steps=2, lr_end=0.0, power=2.0)
    >>> [curve.learning_rate(step) for step in (0, 1, 2, 7, 12, 99)]
    [0.0, 0.5, 1.0, 0.25, 0.0, 0.0]
    """
    warmup = duration(num_warmup_steps, run, "num_warmup_steps")
    total = duration(num_training_steps, run, "num_training_steps", least=1)
    require(0 <= lr_end < run.lr, "lr_end", lr_end, f"be 0 to below the spec's lr of {run.lr}")
    require(power >= 0, "power", power, "be at least 0")
    lr, span, fall = run.lr, max(1, total - warmup), polynomial_fall(power)

    def learning_rate(step: int) -> float:
        if step < warmup:
            return lr * (step / warmup)
        if step > total:
            return lr_end
        return lr_end + (lr - lr_end) * fall((step - warmup) / span)

    return Curve(learning_rate=learning_rate)


def inverse_sqrt(
    run: ScheduleRun, *, num_warmup_steps: Duration = 0, timescale: Duration | None = None
) -> Curve:
    """Rise evenly from 0, then fall with the square root of time.

        lr(t) = lr * t / num_warmup_steps                                       t < num_warmup_steps
        lr(t) = lr * sqrt(timescale / (t + timescale - num_warmup_steps))       otherwise

    Source: transformers.get_inverse_sqrt_schedule; Vaswani et al., arXiv 1706.03762

    Args:
        run: the run the curve is for.
        num_warmup_steps: time of the rise.
        timescale: time after which the LR has fallen by sqrt(2), at least 1 step; None is the
            warm-up, or 10000 steps without one.

    Raises:
        ValueError: if an argument is out of its range.

    >>> run = ScheduleRun(lr=1.0, steps=12, steps_per_epoch=4)
    >>> curve = inverse_sqrt(run, num_warmup_steps=4)
    >>> [curve.learning_rate(step) for step in (0, 2, 4, 16, 64)]
    [0.0, 0.5, 1.0, 0.5, 0.25]
    """
    warmup = duration(num_warmup_steps, run, "num_warmup_steps")
    usual = warmup or 10_000
    scale = duration(usual if timescale is None else timescale, run, "timescale", least=1)
    lr, shift, sqrt = run.lr, scale - warmup, math.sqrt

    def learning_rate(step: int) -> float:
        if step < warmup:
            return lr * (step / warmup)
        return lr / sqrt((step + shift) / scale)

    return Curve(learning_rate=learning_rate)
