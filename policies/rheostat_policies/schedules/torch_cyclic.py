"""Torch's triangles, with the momentum that moves against the LR."""

import math
from collections.abc import Callable
from typing import Literal

from rheostat_policies.schedules.api import Curve, ScheduleRun
from rheostat_policies.schedules.checks import own_peak, require, require_lr
from rheostat_policies.schedules.durations import Duration, duration
from rheostat_policies.schedules.lookup import function_of


def CyclicLR(
    run: ScheduleRun,
    *,
    base_lr: float,
    max_lr: float | None = None,
    step_size_up: Duration = 2000,
    step_size_down: Duration | None = None,
    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
    gamma: float = 1.0,
    scale_fn: Callable[[float], float] | str | None = None,
    scale_mode: Literal["cycle", "iterations"] = "cycle",
    cycle_momentum: bool = True,
    base_momentum: float = 0.8,
    max_momentum: float = 0.9,
) -> Curve:
    """Rise evenly from `base_lr` to `max_lr` and fall back, again and again.

        lr(t)    = base_lr + (max_lr - base_lr) * triangle(t) * scale
        triangle = 0 to 1 over step_size_up, 1 to 0 over step_size_down
        scale    = 1 (triangular), 2 ** (1 - cycle) (triangular2), gamma ** t (exp_range)

    Momentum runs the other way, from `max_momentum` to `base_momentum` and back.

    Source: torch.optim.lr_scheduler.CyclicLR; Smith, arXiv 1506.01186

    Args:
        run: the run the curve is for.
        base_lr: LR at the bottom, 0 to `max_lr`.
        max_lr: LR at the top of the first cycle; None is the spec's LR. Stated here, it leaves no
            say to a group's own `lr`.
        step_size_up: time of the rise, at least 1 step.
        step_size_down: time of the fall, at least 1 step; None is that of the rise.
        mode: how the height changes; without effect beside `scale_fn`.
        gamma: factor of one step in `exp_range`, above 0 to 1.
        scale_fn: a height of one's own, 0 to 1: a function of the cycle (from 1) or of the step,
            by import path `package.module:function`.
        scale_mode: what `scale_fn` is a function of.
        cycle_momentum: whether momentum moves too; the optimizer must have one.
        base_momentum: momentum at the top of the LR.
        max_momentum: momentum at the bottom of the LR.

    Raises:
        ValueError: if an argument is out of its range, or `scale_fn` cannot be imported.

    >>> run = ScheduleRun(lr=1.0, steps=30, steps_per_epoch=5)
    >>> curve = CyclicLR(run, base_lr=0.0, step_size_up=4, mode="triangular2")
    >>> [curve.learning_rate(step) for step in (0, 2, 4, 8, 12)]
    [0.0, 0.5, 1.0, 0.0, 0.5]
    """
    top = own_peak(run, "max_lr", max_lr)
    require(0 <= base_lr <= top, "base_lr", base_lr, f"be 0 to the top of {top}")
    require(0 < gamma <= 1, "gamma", gamma, "be above 0 to 1")
    require_lr("base_momentum", base_momentum)
    require(
        base_momentum <= max_momentum, "max_momentum", max_momentum, "be at least base_momentum"
    )
    up = duration(step_size_up, run, "step_size_up", least=1)
    falling = step_size_up if step_size_down is None else step_size_down
    down = duration(falling, run, "step_size_down", least=1)
    period, share_up = up + down, up / (up + down)
    per_cycle, scale = _scale(mode, gamma, scale_fn, scale_mode)

    def height(step: int) -> float:
        cycle = math.floor(1 + step / period)
        into = 1.0 + step / period - cycle
        rise = into / share_up if into <= share_up else (into - 1.0) / (share_up - 1.0)
        return rise * scale(cycle if per_cycle else step)

    span, momentum_span = top - base_lr, max_momentum - base_momentum
    return Curve(
        learning_rate=lambda step: base_lr + span * height(step),
        momentum=(lambda step: max_momentum - momentum_span * height(step))
        if cycle_momentum
        else None,
    )


def _scale(
    mode: str, gamma: float, scale_fn: Callable[[float], float] | str | None, scale_mode: str
) -> tuple[bool, Callable[[float], float]]:
    """Return whether the height is a function of the cycle, not of the step; and that function."""
    if scale_fn is not None:
        return scale_mode == "cycle", function_of("scale_fn", scale_fn)
    if mode == "exp_range":
        return False, lambda step: gamma**step
    if mode == "triangular2":
        return True, lambda cycle: 0.5 ** (cycle - 1.0)
    return True, lambda cycle: 1.0
