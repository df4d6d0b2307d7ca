"""optax's decays, by its names; the LR it is told outright is the spec's unless one is given."""

import math
from collections.abc import Callable

from rheostat_policies.schedules.api import Curve, ScheduleRun
from rheostat_policies.schedules.checks import own_peak, require, require_lr
from rheostat_policies.schedules.durations import Duration, duration
from rheostat_policies.schedules.shapes import cosine, geometric
from rheostat_policies.schedules.shapes import polynomial as polynomial_fall


def polynomial_schedule(
    run: ScheduleRun,
    *,
    end_value: float,
    power: float,
    init_value: float | None = None,
    transition_steps: Duration = "1dur",
    transition_begin: Duration = 0,
) -> Curve:
    """Go from one LR to another as a power of what is left.

        lr(t) = (init_value - end_value) * (1 - p) ** power + end_value
        p     = (t - transition_begin) / transition_steps, within 0 to 1

    Source: optax.polynomial_schedule

    Args:
        run: the run the curve is for.
        end_value: LR at the end, >= 0.
        power: 1 goes evenly, more goes faster at first; >= 0.
        init_value: LR at the beginning, > 0; None is the spec's.
        transition_steps: time from one to the other, at least 1 step.
        transition_begin: time before it.

    Raises:
        ValueError: if an argument is out of its range.

    >>> run = ScheduleRun(lr=1.0, steps=8, steps_per_epoch=4)
    >>> curve = polynomial_schedule(run, end_value=0.0, power=2.0)
    >>> [curve.learning_rate(step) for step in (0, 4, 8, 9)]
    [1.0, 0.25, 0.0, 0.0]
    """
    require(power >= 0, "power", power, "be at least 0")
    first = own_peak(run, "init_value", init_value)
    height = first - require_lr("end_value", end_value)
    begin = duration(transition_begin, run, "transition_begin")
    span = duration(transition_steps, run, "transition_steps", least=1)
    fall = polynomial_fall(power)
    return Curve(learning_rate=lambda step: height * fall(max(0, step - begin) / span) + end_value)


def linear_schedule(
    run: ScheduleRun,
    *,
    end_value: float,
    init_value: float | None = None,
    transition_steps: Duration = "1dur",
    transition_begin: Duration = 0,
) -> Curve:
    """Go evenly from one LR to another.

        lr(t) = (init_value - end_value) * (1 - p) + end_value
        p     = (t - transition_begin) / transition_steps, within 0 to 1

    Source: optax.linear_schedule

    Args:
        run: the run the curve is for.
        end_value: LR at the end, >= 0.
        init_value: LR at the beginning, > 0; None is the spec's.
        transition_steps: time from one to the other, at least 1 step.
        transition_begin: time before it.

    Raises:
        ValueError: if an argument is out of its range.

    >>> curve = linear_schedule(ScheduleRun(lr=1.0, steps=8, steps_per_epoch=4), end_value=0.5)
    >>> [curve.learning_rate(step) for step in (0, 4, 8, 9)]
    [1.0, 0.75, 0.5, 0.5]
    """
    return polynomial_schedule(
        run,
        end_value=end_value,
        power=1.0,
        init_value=init_value,
        transition_steps=transition_steps,
        transition_begin=transition_begin,
    )


def exponential_decay(
    run: ScheduleRun,
    *,
    transition_steps: Duration,
    decay_rate: float,
    init_value: float | None = None,
    transition_begin: Duration = 0,
    staircase: bool = False,
    end_value: float | None = None,
) -> Curve:
    """Multiply the LR by `decay_rate` in every `transition_steps`, evenly or in stairs.

        lr(t) = init_value * decay_rate ** ((t - transition_begin) / transition_steps)

    Source: optax.exponential_decay

    Args:
        run: the run the curve is for.
        transition_steps: time in which the LR is multiplied once, at least 1 step.
        decay_rate: the factor, > 0.
        init_value: LR at the beginning, > 0; None is the spec's.
        transition_begin: time before it.
        staircase: whether the exponent is rounded down.
        end_value: where the decay, or growth, stops, >= 0; None lets it go on.

    Raises:
        ValueError: if an argument is out of its range.

    >>> run = ScheduleRun(lr=1.0, steps=8, steps_per_epoch=4)
    >>> curve = exponential_decay(run, transition_steps=2, decay_rate=0.25)
    >>> [curve.learning_rate(step) for step in (0, 1, 2, 4)]
    [1.0, 0.5, 0.25, 0.0625]
    """
    require(decay_rate > 0, "decay_rate", decay_rate, "be greater than 0")
    decayed = geometric(own_peak(run, "init_value", init_value), decay_rate)
    begin = duration(transition_begin, run, "transition_begin")
    span = duration(transition_steps, run, "transition_steps", least=1)
    if staircase:
        rate = _from(begin, lambda since: decayed(since // span))
    else:
        rate = _from(begin, lambda since: decayed(since / span))
    if end_value is None:
        return Curve(learning_rate=rate)
    end = require_lr("end_value", end_value)
    clip = max if decay_rate < 1.0 else min
    return Curve(learning_rate=lambda step: clip(rate(step), end))


def cosine_decay_schedule(
    run: ScheduleRun,
    *,
    init_value: float | None = None,
    decay_steps: Duration = "1dur",
    alpha: float = 0.0,
    exponent: float = 1.0,
) -> Curve:
    """Fall along half a cosine, raised to a power, to a share of the LR.

        lr(t) = init_value * ((1 - alpha) * ((1 + cos(pi * p)) / 2) ** exponent + alpha)
        p     = min(1, t / decay_steps)

    Source: optax.cosine_decay_schedule

    Args:
        run: the run the curve is for.
        init_value: LR at the beginning, > 0; None is the spec's.
        decay_steps: time of the fall, at least 1 step.
        alpha: LR at the end as a share of the first, 0 to 1.
        exponent: bends the fall, > 0.

    Raises:
        ValueError: if an argument is out of its range.

    >>> curve = cosine_decay_schedule(ScheduleRun(lr=1.0, steps=8, steps_per_epoch=4), alpha=0.5)
    >>> [round(curve.learning_rate(step), 6) for step in (0, 4, 8, 9)]
    [1.0, 0.75, 0.5, 0.5]
    """
    first = own_peak(run, "init_value", init_value)
    total = duration(decay_steps, run, "decay_steps", least=1)
    require(0 <= alpha <= 1, "alpha", alpha, "be 0 to 1")
    require(exponent > 0, "exponent", exponent, "be greater than 0")

    def learning_rate(step: int) -> float:
        left = cosine(step / total) if step < total else 0.0
        return first * ((1.0 - alpha) * math.pow(left, exponent) + alpha)

    return Curve(learning_rate=learning_rate)


def _from(begin: int, rate: Callable[[int], float]) -> Callable[[int], float]:
    return rate if begin == 0 else lambda step: rate(max(0, step - begin))
