"""Decays that come from papers rather than from a library everybody has: REX, tanh, power, ..."""

import math
from typing import Literal

from rheostat_policies.schedules.api import Curve, ScheduleRun
from rheostat_policies.schedules.checks import own_peak, require, require_lr
from rheostat_policies.schedules.durations import Duration, duration
from rheostat_policies.schedules.shapes import Fall, cosine
from rheostat_policies.schedules.shapes import rex as rex_fall
from rheostat_policies.schedules.shapes import tanh as tanh_fall


def rex(
    run: ScheduleRun,
    *,
    total_steps: Duration = "1dur",
    max_lr: float | None = None,
    min_lr: float = 0.0,
) -> Curve:
    """Fall slowly at first and fast at the end.

        lr(t) = min_lr + (max_lr - min_lr) * (1 - p) / (1 - p / 2)
        p     = min(1, t / total_steps)

    Source: Chen et al., "REX", arXiv 2107.04197; pytorch_optimizer.REXScheduler

    Args:
        run: the run the curve is for.
        total_steps: when `min_lr` is reached.
        max_lr: LR at the beginning, > 0; None is the spec's. Stated here, it leaves no say to a
            group's own `lr`.
        min_lr: LR at the end and after it, 0 to `max_lr`.

    Raises:
        ValueError: if an argument is out of its range.

    >>> curve = rex(ScheduleRun(lr=1.0, steps=10, steps_per_epoch=5))
    >>> [round(curve.learning_rate(step), 6) for step in (0, 5, 10, 99)]
    [1.0, 0.666667, 0.0, 0.0]
    """
    return _to_floor(run, total_steps, max_lr, min_lr, rex_fall)


def tanh(
    run: ScheduleRun,
    *,
    total_steps: Duration = "1dur",
    lb: float = -6.0,
    ub: float = 3.0,
    min_lr: float = 0.0,
) -> Curve:
    """Stay, fall, stay, along a hyperbolic tangent.

        lr(t) = min_lr + (lr - min_lr) * (1 - tanh(lb * (1 - p) + ub * p)) / 2
        p     = min(1, t / total_steps)

    Source: Hsueh et al., "Stochastic gradient descent with hyperbolic-tangent decay",
    arXiv 1806.01593

    Args:
        run: the run the curve is for.
        total_steps: when the fall is over.
        lb: argument of tanh at the beginning, below `ub`.
        ub: argument of tanh at the end.
        min_lr: LR at the end and after it, 0 to the spec's LR.

    Raises:
        ValueError: if an argument is out of its range.

    >>> curve = tanh(ScheduleRun(lr=1.0, steps=9, steps_per_epoch=3))
    >>> [round(curve.learning_rate(step), 6) for step in (0, 6, 8, 9)]
    [0.999994, 0.5, 0.017986, 0.0]
    """
    require(lb < ub, "lb", lb, f"be below ub={ub}")
    return _to_floor(run, total_steps, None, min_lr, tanh_fall(lb, ub))


def power(
    run: ScheduleRun,
    *,
    a: float = 4.6,
    b: float = -0.51,
    tokens_per_sample: int = 1,
    warmup: Duration = 0,
) -> Curve:
    """Follow a power of the tokens seen, at most the spec's LR.

        lr(t)  = min(lr, batch_size * a * tokens ** b)
        tokens = (t + 1) * batch_size * tokens_per_sample

    During the warm-up it rises evenly to that. How long the run is does not matter; to end it with
    a fall, `chain` it with `wsd`.

    Source: Shen et al., "Power Scheduler", arXiv 2408.13359

    Args:
        run: the run the curve is for; its LR is the cap.
        a: amplitude, > 0.
        b: exponent, below 0.
        tokens_per_sample: tokens in one sample, >= 1.
        warmup: time of the rise from 0.

    Raises:
        ValueError: if an argument is out of its range.

    >>> run = ScheduleRun(lr=0.02, steps=10**6, steps_per_epoch=10**5, batch_size=128)
    >>> curve = power(run, tokens_per_sample=4096)
    >>> [round(curve.learning_rate(step), 5) for step in (0, 10**4, 10**5, 10**6)]
    [0.02, 0.0065, 0.00201, 0.00062]
    """
    require(a > 0, "a", a, "be greater than 0")
    require(b < 0, "b", b, "be below 0")
    require(tokens_per_sample >= 1, "tokens_per_sample", tokens_per_sample, "be at least 1")
    rise = duration(warmup, run, "warmup")
    lr, amplitude, tokens = run.lr, run.batch_size * a, run.batch_size * tokens_per_sample

    def learning_rate(step: int) -> float:
        capped = min(lr, amplitude * math.pow((step + 1) * tokens, b))
        return capped * step / rise if step < rise else capped

    return Curve(learning_rate=learning_rate)


def infinite(
    run: ScheduleRun,
    *,
    constant_lr: float,
    warmup: Duration = "0.01dur",
    cooldown: Duration = "0.3dur",
    anneal: Duration = "0.1dur",
    min_lr: float = 0.0,
    cooldown_shape: Literal["inverse_sqrt", "cosine"] = "inverse_sqrt",
    alpha: float = 10.0,
) -> Curve:
    """Rise, cool down to a constant LR that may last for ever, and anneal when told to end.

        lr(t) = lr * t / warmup                                                 in the warm-up
        lr(t) = constant_lr + (lr - constant_lr) * fall(p)                      in the cool-down
        lr(t) = constant_lr                                                     until steps - anneal
        lr(t) = constant_lr * (min_lr / constant_lr) ** q                       in the annealing
        fall  = 1 - h(p) / h(1) with h(p) = 1 / sqrt(1 + alpha * p) - 1, or (1 + cos(pi * p)) / 2

    Without an end in sight, `anneal: 0` keeps it constant; to anneal to 0 it falls evenly.

    Source: Ibrahim et al., arXiv 2403.08763; Singh et al., arXiv 2503.02844

    Args:
        run: the run the curve is for.
        constant_lr: LR between cool-down and annealing, above 0 to the spec's LR.
        warmup: time of the rise from 0.
        cooldown: time from the spec's LR to the constant one.
        anneal: time of the fall at the end of the run.
        min_lr: LR at the end and after it, 0 to `constant_lr`.
        cooldown_shape: shape of the cool-down.
        alpha: how fast an inverse_sqrt cool-down begins, > 0.

    Raises:
        ValueError: if an argument is out of its range, or the phases do not fit.

    >>> run = ScheduleRun(lr=1.0, steps=100, steps_per_epoch=50)
    >>> curve = infinite(run, constant_lr=0.5, warmup=10, min_lr=0.125)
    >>> [round(curve.learning_rate(step), 6) for step in (5, 10, 40, 90, 95, 100)]
    [0.5, 1.0, 0.5, 0.5, 0.25, 0.125]
    """
    lr, steps = run.lr, run.steps
    require(
        0 < constant_lr <= lr, "constant_lr", constant_lr, f"be above 0 to the spec's lr of {lr}"
    )
    require(0 <= min_lr <= constant_lr, "min_lr", min_lr, f"be 0 to constant_lr={constant_lr}")
    require(alpha > 0, "alpha", alpha, "be greater than 0")
    rise, cool = duration(warmup, run, "warmup"), duration(cooldown, run, "cooldown")
    last = duration(anneal, run, "anneal")
    require(
        rise + cool + last <= steps, "anneal", anneal, f"fit into the {steps} steps beside the rest"
    )
    fall = cosine if cooldown_shape == "cosine" else _inverse_sqrt(alpha)
    settled, end, ratio = rise + cool, steps - last, min_lr / constant_lr

    def learning_rate(step: int) -> float:
        if step < rise:
            return lr * step / rise
        if step < settled:
            return constant_lr + (lr - constant_lr) * fall((step - rise) / cool)
        if step < end or not last:
            return constant_lr
        if step >= steps:
            return min_lr
        progress = (step - end) / last
        return constant_lr * (math.pow(ratio, progress) if ratio else 1.0 - progress)

    return Curve(learning_rate=learning_rate)


def _to_floor(
    run: ScheduleRun, total_steps: Duration, max_lr: float | None, min_lr: float, fall: Fall
) -> Curve:
    top = own_peak(run, "max_lr", max_lr)
    total = duration(total_steps, run, "total_steps", least=1)
    require_lr("min_lr", min_lr)
    require(min_lr <= top, "min_lr", min_lr, f"be at most the LR it begins with, {top}")
    height = top - min_lr
    return Curve(
        learning_rate=lambda step: min_lr + height * fall(step / total) if step < total else min_lr
    )


def _inverse_sqrt(alpha: float) -> Fall:
    depth = 1.0 / math.sqrt(1.0 + alpha) - 1.0
    return lambda progress: 1.0 - (1.0 / math.sqrt(1.0 + alpha * progress) - 1.0) / depth
