"""Torch's one-cycle schedule, with the momentum that moves against the LR."""

import math
from collections.abc import Callable
from typing import Literal

from rheostat_policies.schedules.api import Curve, ScheduleRun


def OneCycleLR(
    run: ScheduleRun,
    *,
    max_lr: float | None = None,
    total_steps: int | None = None,
    pct_start: float = 0.3,
    anneal_strategy: Literal["cos", "linear"] = "cos",
    cycle_momentum: bool = True,
    base_momentum: float = 0.85,
    max_momentum: float = 0.95,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    three_phase: bool = False,
) -> Curve:
    """Rise to `max_lr`, then fall far below the start, as `torch.optim.lr_scheduler.OneCycleLR`.

    The LR goes from `max_lr / div_factor` up to `max_lr` in the first `pct_start` of the steps and
    down to `max_lr / div_factor / final_div_factor` in the rest; with `three_phase` it first falls
    back to its start in as many steps as it rose. Momentum runs the other way, from `max_momentum`
    to `base_momentum` and back. Where torch raises past `total_steps`, this stays at the end.
    Source: Smith & Topin, "Super-Convergence", arXiv 1708.07120.

    Args:
        run: the run the curve is for.
        max_lr: the peak, > 0; None is the spec's LR. Stated here, it leaves no say to a group's
            own `lr` (use `lr_scale` there).
        total_steps: length of the cycle in optimizer steps, >= 1; None is the whole run.
        pct_start: share of the cycle that rises, 0 to 1 (below 0.5 with `three_phase`).
        anneal_strategy: shape of each phase.
        cycle_momentum: whether momentum moves too; the optimizer must have one.
        base_momentum: momentum at the peak LR.
        max_momentum: momentum at both ends.
        div_factor: peak / first LR, > 0.
        final_div_factor: first LR / last LR, > 0.
        three_phase: whether the fall has two phases.

    Raises:
        ValueError: if an argument is out of its range.

    >>> curve = OneCycleLR(ScheduleRun(lr=1.0, steps=11, steps_per_epoch=4), pct_start=0.5)
    >>> [round(curve.learning_rate(step), 4) for step in (0, 5, 10)]
    [0.0955, 0.9904, 0.0]
    """
    if max_lr is not None and run.lr_is_own:
        raise ValueError(
            f"max_lr={max_lr} leaves no say to the group's own lr={run.lr}; "
            "leave max_lr out, or give the group an lr_scale instead"
        )
    peak = run.lr if max_lr is None else max_lr
    total = run.steps if total_steps is None else total_steps
    if not peak > 0:
        raise ValueError(f"max_lr={peak} must be greater than 0")
    if total < 1:
        raise ValueError(f"total_steps={total} must be at least 1")
    if not 0 <= pct_start <= 1:
        raise ValueError(f"pct_start={pct_start} must be 0 to 1")
    if three_phase and 2 * pct_start > 1:
        raise ValueError(f"pct_start={pct_start} must be at most 0.5 with three_phase")
    for name, value in (("div_factor", div_factor), ("final_div_factor", final_div_factor)):
        if not value > 0:
            raise ValueError(f"{name}={value} must be greater than 0")

    first = peak / div_factor
    last = first / final_div_factor
    top = float(pct_start * total) - 1.0
    lr_phases = [(top, first, peak)]
    momentum_phases = [(top, max_momentum, base_momentum)]
    if three_phase:
        back = float(2 * pct_start * total) - 2.0
        lr_phases.append((back, peak, first))
        momentum_phases.append((back, base_momentum, max_momentum))
        lr_phases.append((total - 1.0, first, last))
        momentum_phases.append((total - 1.0, max_momentum, max_momentum))
    else:
        lr_phases.append((total - 1.0, peak, last))
        momentum_phases.append((total - 1.0, base_momentum, max_momentum))
    anneal = _cosine if anneal_strategy == "cos" else _linear
    return Curve(
        learning_rate=_through(lr_phases, anneal),
        momentum=_through(momentum_phases, anneal) if cycle_momentum else None,
    )


def _through(
    phases: list[tuple[float, float, float]], anneal: Callable[[float, float, float], float]
) -> Callable[[int], float]:
    """Join phases of (last step, first value, last value) into one function of the step."""
    *early, final = phases

    def value(step: int) -> float:
        start = 0.0
        for end, low, high in early:
            if step <= end:
                return anneal(low, high, (step - start) / (end - start) if end > start else 1.0)
            start = end
        end, low, high = final
        return anneal(low, high, min(1.0, (step - start) / (end - start)) if end > start else 1.0)

    return value


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2.0 * (1.0 + math.cos(math.pi * share))


def _linear(start: float, end: float, share: float) -> float:
    return (end - start) * share + start
