"""Torch's one-cycle schedule, with the momentum that moves against the LR."""

from collections.abc import Callable
from typing import Literal

from rheostat_policies.schedules.api import Curve, ScheduleRun
from rheostat_policies.schedules.checks import own_peak, require
from rheostat_policies.schedules.durations import Duration, duration
from rheostat_policies.schedules.shapes import Anneal, anneal_cosine, anneal_linear


def OneCycleLR(
    run: ScheduleRun,
    *,
    max_lr: float | None = None,
    total_steps: Duration | None = None,
    epochs: int | None = None,
    steps_per_epoch: int | None = None,
    pct_start: float = 0.3,
    anneal_strategy: Literal["cos", "linear"] = "cos",
    cycle_momentum: bool = True,
    base_momentum: float = 0.85,
    max_momentum: float = 0.95,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    three_phase: bool = False,
) -> Curve:
    """Rise to `max_lr`, then fall far below the start.

        lr(t): max_lr / div_factor -> max_lr in the first pct_start of the steps,
               then -> max_lr / div_factor / final_div_factor in the rest

    With `three_phase` the LR first falls back to its start in as many steps as it rose. Momentum
    runs the other way, from `max_momentum` to `base_momentum` and back.

    Source: torch.optim.lr_scheduler.OneCycleLR; Smith & Topin, "Super-Convergence",
    arXiv 1708.07120

    Args:
        run: the run the curve is for.
        max_lr: the peak, > 0; None is the spec's LR. Stated here, it leaves no say to a group's
            own `lr` (use `lr_scale` there).
        total_steps: length of the cycle, at least 1 step; None is what the next two say, else
            the whole run.
        epochs: length of the cycle in epochs, >= 1.
        steps_per_epoch: steps of such an epoch, >= 1; None is the run's own.
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
    [0.04, 0.9797, 0.0]
    """
    peak = own_peak(run, "max_lr", max_lr)
    total = _length(run, total_steps, epochs, steps_per_epoch)
    require(0 <= pct_start <= 1, "pct_start", pct_start, "be 0 to 1")
    if three_phase:
        require(2 * pct_start <= 1, "pct_start", pct_start, "be at most 0.5 with three_phase")
    for name, value in (("div_factor", div_factor), ("final_div_factor", final_div_factor)):
        require(value > 0, name, value, "be greater than 0")

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
    anneal = anneal_cosine if anneal_strategy == "cos" else anneal_linear
    return Curve(
        learning_rate=_through(lr_phases, anneal),
        momentum=_through(momentum_phases, anneal) if cycle_momentum else None,
    )


def _length(
    run: ScheduleRun, total_steps: Duration | None, epochs: int | None, steps_per_epoch: int | None
) -> int:
    if total_steps is not None:
        return duration(total_steps, run, "total_steps", least=1)
    if epochs is None:
        return run.steps
    require(epochs >= 1, "epochs", epochs, "be at least 1")
    each = run.steps_per_epoch if steps_per_epoch is None else steps_per_epoch
    require(each >= 1, "steps_per_epoch", each, "be at least 1")
    return epochs * each


def _through(phases: list[tuple[float, float, float]], anneal: Anneal) -> Callable[[int], float]:
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
