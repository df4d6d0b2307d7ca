"""Torch's cosines: there and back, with restarts, and down to the LR of weight averaging."""

import math
from typing import Literal

from rheostat_policies.schedules.api import Curve, ScheduleRun
from rheostat_policies.schedules.checks import require, require_lr
from rheostat_policies.schedules.durations import Duration, duration
from rheostat_policies.schedules.shapes import anneal_cosine, anneal_linear, cosine


def CosineAnnealingLR(run: ScheduleRun, *, T_max: Duration = "1dur", eta_min: float = 0.0) -> Curve:
    """Follow a cosine from the LR to `eta_min` in `T_max`, and back up in the next.

        lr(t) = eta_min + (lr - eta_min) * (1 + cos(pi * t / T_max)) / 2

    Source: torch.optim.lr_scheduler.CosineAnnealingLR

    Args:
        run: the run the curve is for.
        T_max: half a period, at least 1 step.
        eta_min: LR at the turn, >= 0.

    Raises:
        ValueError: if an argument is out of its range.

    >>> curve = CosineAnnealingLR(ScheduleRun(lr=1.0, steps=10, steps_per_epoch=5))
    >>> [round(curve.learning_rate(step), 6) for step in (0, 5, 10, 15)]
    [1.0, 0.5, 0.0, 0.5]
    """
    half = duration(T_max, run, "T_max", least=1)
    span = run.lr - require_lr("eta_min", eta_min)
    return Curve(learning_rate=lambda step: eta_min + span * cosine(step / half))


def CosineAnnealingWarmRestarts(
    run: ScheduleRun, *, T_0: Duration, T_mult: int = 1, eta_min: float = 0.0
) -> Curve:
    """Follow half a cosine down to `eta_min`, jump back up, and again, each `T_mult` times as long.

        lr(t) = eta_min + (lr - eta_min) * (1 + cos(pi * T_cur / T_i)) / 2
        T_i   = T_0 * T_mult ** restarts so far,   T_cur = steps since the last restart

    Source: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts; Loshchilov & Hutter, "SGDR",
    arXiv 1608.03983

    Args:
        run: the run the curve is for.
        T_0: time until the first restart, at least 1 step.
        T_mult: how many times longer each cycle is than the one before, >= 1.
        eta_min: LR that each cycle falls to, >= 0.

    Raises:
        ValueError: if an argument is out of its range.

    >>> run = ScheduleRun(lr=1.0, steps=30, steps_per_epoch=5)
    >>> curve = CosineAnnealingWarmRestarts(run, T_0=4, T_mult=2)
    >>> [round(curve.learning_rate(step), 6) for step in (0, 2, 4, 8, 12)]
    [1.0, 0.5, 1.0, 0.5, 1.0]
    """
    first = duration(T_0, run, "T_0", least=1)
    require(T_mult >= 1, "T_mult", T_mult, "be at least 1")
    span = run.lr - require_lr("eta_min", eta_min)
    if T_mult == 1:
        return Curve(learning_rate=lambda step: eta_min + span * cosine((step % first) / first))

    def learning_rate(step: int) -> float:
        # The logarithm may round across a restart; whole numbers then say which cycle it is.
        restarts = int(math.log(step * (T_mult - 1) / first + 1.0, T_mult))
        length = first * T_mult**restarts
        start = (length - first) // (T_mult - 1)
        if step < start:
            length //= T_mult
            start -= length
        elif step >= start + length:
            start += length
            length *= T_mult
        return eta_min + span * cosine((step - start) / length)

    return Curve(learning_rate=learning_rate)


def SWALR(
    run: ScheduleRun,
    *,
    swa_lr: float,
    anneal_epochs: Duration = 10,
    anneal_strategy: Literal["cos", "linear"] = "cos",
) -> Curve:
    """Anneal from the LR to the constant `swa_lr` at which weights are averaged.

        lr(t) = swa_lr + (lr - swa_lr) * fall(min(1, t / anneal_epochs))
        fall  = (1 + cos(pi * p)) / 2, or 1 - p

    Source: torch.optim.swa_utils.SWALR; usually the last part of a `sequence`

    Args:
        run: the run the curve is for.
        swa_lr: LR at the end, >= 0.
        anneal_epochs: time until it is reached; in optimizer steps like every count here, so
            write "10ep" for epochs.
        anneal_strategy: shape of the way there.

    Raises:
        ValueError: if an argument is out of its range.

    >>> run = ScheduleRun(lr=1.0, steps=30, steps_per_epoch=5)
    >>> curve = SWALR(run, swa_lr=0.5, anneal_epochs="2ep", anneal_strategy="linear")
    >>> [curve.learning_rate(step) for step in (0, 5, 10, 20)]
    [1.0, 0.75, 0.5, 0.5]
    """
    require_lr("swa_lr", swa_lr)
    total = duration(anneal_epochs, run, "anneal_epochs")
    anneal = anneal_cosine if anneal_strategy == "cos" else anneal_linear
    lr = run.lr
    return Curve(
        learning_rate=lambda step: anneal(lr, swa_lr, step / total) if step < total else swa_lr
    )
