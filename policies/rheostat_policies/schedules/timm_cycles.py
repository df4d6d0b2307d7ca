"""timm's schedules that fall in cycles: cosine, tanh, poly."""

import math
from collections.abc import Callable

from rheostat_policies.schedules.api import Curve, ScheduleRun
from rheostat_policies.schedules.checks import require, require_lr
from rheostat_policies.schedules.durations import Duration, duration
from rheostat_policies.schedules.shapes import Fall
from rheostat_policies.schedules.shapes import cosine as cosine_fall
from rheostat_policies.schedules.shapes import polynomial as polynomial_fall
from rheostat_policies.schedules.shapes import tanh as tanh_fall
from rheostat_policies.schedules.timm_modifiers import (
    Modifiers,
    NoiseRange,
    Rate,
    counted,
    modified,
    warmup_length,
)


def cosine(
    run: ScheduleRun,
    *,
    t_initial: Duration = "1dur",
    lr_min: float = 0.0,
    cycle_mul: float = 1.0,
    cycle_decay: float = 1.0,
    cycle_limit: int = 1,
    warmup_t: Duration = 0,
    warmup_lr_init: float = 0.0,
    warmup_prefix: bool = False,
    t_in_epochs: bool = False,
    noise_range_t: NoiseRange = None,
    noise_pct: float = 0.67,
    noise_std: float = 1.0,
    noise_seed: int = 42,
    k_decay: float = 1.0,
) -> Curve:
    """Fall along half a cosine, `cycle_limit` times, each longer and lower than the one before.

        lr(t) = lr_min + (lr * cycle_decay ** i - lr_min) * (1 + cos(pi * t_i ** k / T_i ** k)) / 2
        T_i   = t_initial * cycle_mul ** i,   t_i = time since cycle i began,   k = k_decay

    Source: timm.scheduler.CosineLRScheduler; k-decay is Zhang & Li, arXiv 2004.05909

    Args:
        run: the run the curve is for.
        t_initial: length of the first cycle.
        lr_min: LR at the end of each cycle and after the last, >= 0.
        cycle_mul: how many times longer each cycle is, > 0.
        cycle_decay: how much lower each cycle begins, above 0 to 1.
        cycle_limit: number of cycles, >= 0.
        warmup_t: length of the even rise to the spec's LR.
        warmup_lr_init: first LR of the rise, >= 0.
        warmup_prefix: whether the first cycle begins after the rise rather than under it.
        t_in_epochs: whether counts are epochs, and the LR moves between epochs only.
        noise_range_t: where noise is added: from a time on, or [from, before].
        noise_pct: largest noise as a share of the LR, above 0 to 1.
        noise_std: standard deviation of the noise as a share of the LR, >= 0.
        noise_seed: seed of the noise, >= 0.
        k_decay: bends time: above 1 stays high for longer; > 0.

    Raises:
        ValueError: if an argument is out of its range.

    >>> run = ScheduleRun(lr=1.0, steps=20, steps_per_epoch=5)
    >>> curve = cosine(run, t_initial=8, warmup_t=4, warmup_prefix=True)
    >>> [round(curve.learning_rate(step), 6) for step in (0, 2, 4, 8, 12)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    by = Modifiers(
        warmup_t=warmup_t,
        warmup_lr_init=warmup_lr_init,
        warmup_prefix=warmup_prefix,
        t_in_epochs=t_in_epochs,
        noise_range_t=noise_range_t,
        noise_pct=noise_pct,
        noise_std=noise_std,
        noise_seed=noise_seed,
    )
    first = duration(t_initial, counted(run, t_in_epochs), "t_initial", least=1)
    progress = _bent(first, cycle_mul, cycle_limit, k_decay)
    return modified(run, by, _cycles(run.lr, lr_min, cycle_decay, progress, cosine_fall))


def tanh(
    run: ScheduleRun,
    *,
    t_initial: Duration = "1dur",
    lb: float = -7.0,
    ub: float = 3.0,
    lr_min: float = 0.0,
    cycle_mul: float = 1.0,
    cycle_decay: float = 1.0,
    cycle_limit: int = 1,
    warmup_t: Duration = 0,
    warmup_lr_init: float = 0.0,
    warmup_prefix: bool = False,
    t_in_epochs: bool = False,
    noise_range_t: NoiseRange = None,
    noise_pct: float = 0.67,
    noise_std: float = 1.0,
    noise_seed: int = 42,
) -> Curve:
    """Fall along a hyperbolic tangent, `cycle_limit` times, each longer and lower.

        lr(t) = lr_min + (lr * cycle_decay ** i - lr_min) * (1 - tanh(lb * (1 - p) + ub * p)) / 2
        p     = time since cycle i began / (t_initial * cycle_mul ** i)

    Source: timm.scheduler.TanhLRScheduler; Hsueh et al., arXiv 1806.01593

    Args:
        run: the run the curve is for.
        t_initial: length of the first cycle.
        lb: argument of tanh at the beginning of a cycle, below `ub`.
        ub: argument of tanh at the end of a cycle.
        lr_min: LR that each cycle nears, and LR after the last, >= 0.
        cycle_mul: how many times longer each cycle is, > 0.
        cycle_decay: how much lower each cycle begins, above 0 to 1.
        cycle_limit: number of cycles, >= 0.
        warmup_t: length of the even rise, to the spec's LR with `warmup_prefix`, else to where the
            fall then is.
        warmup_lr_init: first LR of the rise, >= 0.
        warmup_prefix: whether the first cycle begins after the rise rather than under it.
        t_in_epochs: whether counts are epochs, and the LR moves between epochs only.
        noise_range_t: where noise is added: from a time on, or [from, before].
        noise_pct: largest noise as a share of the LR, above 0 to 1.
        noise_std: standard deviation of the noise as a share of the LR, >= 0.
        noise_seed: seed of the noise, >= 0.

    Raises:
        ValueError: if an argument is out of its range.

    >>> curve = tanh(ScheduleRun(lr=1.0, steps=10, steps_per_epoch=5))
    >>> [round(curve.learning_rate(step), 6) for step in (0, 7, 9, 10)]
    [0.999999, 0.5, 0.017986, 0.0]
    """
    require(lb < ub, "lb", lb, f"be below ub={ub}")
    by = Modifiers(
        warmup_t=warmup_t,
        warmup_lr_init=warmup_lr_init,
        warmup_prefix=warmup_prefix,
        t_in_epochs=t_in_epochs,
        noise_range_t=noise_range_t,
        noise_pct=noise_pct,
        noise_std=noise_std,
        noise_seed=noise_seed,
    )
    first = duration(t_initial, counted(run, t_in_epochs), "t_initial", least=1)
    progress = _bent(first, cycle_mul, cycle_limit, 1.0)
    rate = _cycles(run.lr, lr_min, cycle_decay, progress, tanh_fall(lb, ub))
    return modified(run, by, rate, top=run.lr if warmup_prefix else rate(warmup_length(run, by)))


def poly(
    run: ScheduleRun,
    *,
    t_initial: Duration = "1dur",
    power: float = 0.5,
    lr_min: float = 0.0,
    cycle_mul: float = 1.0,
    cycle_decay: float = 1.0,
    cycle_limit: int = 1,
    warmup_t: Duration = 0,
    warmup_lr_init: float = 0.0,
    warmup_prefix: bool = False,
    t_in_epochs: bool = False,
    noise_range_t: NoiseRange = None,
    noise_pct: float = 0.67,
    noise_std: float = 1.0,
    noise_seed: int = 42,
    k_decay: float = 1.0,
) -> Curve:
    """Fall as a power of what is left, `cycle_limit` times, each longer and lower.

        lr(t) = lr_min + (lr * cycle_decay ** i - lr_min) * (1 - t_i ** k / T_i ** k) ** power
        T_i   = t_initial * cycle_mul ** i,   t_i = time since cycle i began,   k = k_decay

    Source: timm.scheduler.PolyLRScheduler; k-decay is Zhang & Li, arXiv 2004.05909

    Args:
        run: the run the curve is for.
        t_initial: length of the first cycle.
        power: 1 falls evenly, more falls faster at first; >= 0.
        lr_min: LR at the end of each cycle and after the last, >= 0.
        cycle_mul: how many times longer each cycle is, > 0.
        cycle_decay: how much lower each cycle begins, above 0 to 1.
        cycle_limit: number of cycles, >= 0.
        warmup_t: length of the even rise to the spec's LR.
        warmup_lr_init: first LR of the rise, >= 0.
        warmup_prefix: whether the first cycle begins after the rise rather than under it.
        t_in_epochs: whether counts are epochs, and the LR moves between epochs only.
        noise_range_t: where noise is added: from a time on, or [from, before].
        noise_pct: largest noise as a share of the LR, above 0 to 1.
        noise_std: standard deviation of the noise as a share of the LR, >= 0.
        noise_seed: seed of the noise, >= 0.
        k_decay: bends time: above 1 stays high for longer; > 0.

    Raises:
        ValueError: if an argument is out of its range.

    >>> curve = poly(ScheduleRun(lr=1.0, steps=10, steps_per_epoch=5), t_initial=8, power=2.0)
    >>> [curve.learning_rate(step) for step in (0, 4, 8, 9)]
    [1.0, 0.25, 0.0, 0.0]
    """
    require(power >= 0, "power", power, "be at least 0")
    by = Modifiers(
        warmup_t=warmup_t,
        warmup_lr_init=warmup_lr_init,
        warmup_prefix=warmup_prefix,
        t_in_epochs=t_in_epochs,
        noise_range_t=noise_range_t,
        noise_pct=noise_pct,
        noise_std=noise_std,
        noise_seed=noise_seed,
    )
    first = duration(t_initial, counted(run, t_in_epochs), "t_initial", least=1)
    progress = _bent(first, cycle_mul, cycle_limit, k_decay)
    return modified(run, by, _cycles(run.lr, lr_min, cycle_decay, progress, polynomial_fall(power)))


Progress = Callable[[int], tuple[int, float] | None]
"""From t to the cycle and the share of it that is over, or None after the last one."""


def _bent(first: int, mul: float, limit: int, k_decay: float) -> Progress:
    require(mul > 0, "cycle_mul", mul, "be greater than 0")
    require(limit >= 0, "cycle_limit", limit, "be at least 0")
    require(k_decay > 0, "k_decay", k_decay, "be greater than 0")

    def progress(t: int) -> tuple[int, float] | None:
        if mul == 1.0:
            cycle, length = t // first, float(first)
            since = float(t - first * cycle)
        else:
            # timm's own expression, so that rounding falls on the same side of a restart.
            grown = 1.0 - t / first * (1.0 - mul)
            if grown <= 0.0:  # cycles that shrink have all been before here
                return None
            cycle = math.floor(math.log(grown, mul))
            length = math.pow(mul, cycle) * first
            since = max(0.0, t - (1.0 - math.pow(mul, cycle)) / (1.0 - mul) * first)
        return (cycle, since**k_decay / length**k_decay) if cycle < limit else None

    return progress


def _cycles(lr: float, lr_min: float, decay: float, progress: Progress, fall: Fall) -> Rate:
    require_lr("lr_min", lr_min)
    require(0 < decay <= 1, "cycle_decay", decay, "be above 0 to 1")

    def rate(t: int) -> float:
        found = progress(t)
        if found is None:
            return lr_min
        cycle, share = found
        return lr_min + (lr * decay**cycle - lr_min) * fall(share)

    return rate
