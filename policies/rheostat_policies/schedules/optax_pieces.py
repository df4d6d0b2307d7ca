"""optax's schedules that go through given points, by its names."""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from itertools import accumulate
from operator import mul
from typing import Literal

from rheostat_policies.schedules.api import Curve, ScheduleRun
from rheostat_policies.schedules.checks import own_peak, require
from rheostat_policies.schedules.durations import Duration, duration
from rheostat_policies.schedules.shapes import Anneal, anneal_cosine, anneal_linear

Boundaries = Mapping[str, float] | Mapping[int, float]
"""Factors by when they begin to act; keys of JSON are text, so "100" is 100 steps."""


def piecewise_constant_schedule(
    run: ScheduleRun, *, boundaries_and_scales: Boundaries, init_value: float | None = None
) -> Curve:
    """Multiply the LR by a factor of its own at each boundary.

        lr(t) = init_value * product of the scales whose boundary <= t

    Source: optax.piecewise_constant_schedule

    Args:
        run: the run the curve is for.
        boundaries_and_scales: factors, >= 0, by when they begin to act.
        init_value: LR at the beginning, > 0; None is the spec's.

    Raises:
        ValueError: if an argument is out of its range.

    >>> run = ScheduleRun(lr=1.0, steps=8, steps_per_epoch=4)
    >>> curve = piecewise_constant_schedule(run, boundaries_and_scales={"1ep": 0.5, "6": 0.5})
    >>> [curve.learning_rate(step) for step in (0, 3, 4, 6)]
    [1.0, 1.0, 0.5, 0.25]
    """
    bounds, values = _levels(run, own_peak(run, "init_value", init_value), boundaries_and_scales)
    return Curve(learning_rate=lambda step: values[bisect_right(bounds, step)])


def piecewise_interpolate_schedule(
    run: ScheduleRun,
    *,
    interpolate_type: Literal["linear", "cosine"],
    boundaries_and_scales: Boundaries,
    init_value: float | None = None,
) -> Curve:
    """Go through LRs given at boundaries, evenly or along half cosines.

        lr(boundary_i) = init_value * scale_1 * ... * scale_i

    Source: optax.piecewise_interpolate_schedule

    Args:
        run: the run the curve is for.
        interpolate_type: the way from each to the next.
        boundaries_and_scales: factors, >= 0, by when they have acted.
        init_value: LR at the beginning, > 0; None is the spec's.

    Raises:
        ValueError: if an argument is out of its range.

    >>> run = ScheduleRun(lr=1.0, steps=8, steps_per_epoch=4)
    >>> scales = {"4": 0.5, "8": 0.5}
    >>> curve = piecewise_interpolate_schedule(
    ...     run, interpolate_type="linear", boundaries_and_scales=scales
    ... )
    >>> [curve.learning_rate(step) for step in (0, 2, 4, 6, 8)]
    [1.0, 0.75, 0.5, 0.375, 0.25]
    """
    bounds, values = _levels(run, own_peak(run, "init_value", init_value), boundaries_and_scales)
    anneal = anneal_linear if interpolate_type == "linear" else anneal_cosine
    return Curve(learning_rate=through_levels(bounds, values, anneal))


def linear_onecycle_schedule(
    run: ScheduleRun,
    *,
    transition_steps: Duration = "1dur",
    peak_value: float | None = None,
    pct_start: float = 0.3,
    pct_final: float = 0.85,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
) -> Curve:
    """Rise evenly to the peak, fall back evenly, and then further down.

        lr: peak / div_factor -> peak -> peak / div_factor -> peak / div_factor / final_div_factor
        at: 0                 -> pct_start * T             -> pct_final * T     -> T

    Source: optax.linear_onecycle_schedule

    Args:
        run: the run the curve is for.
        transition_steps: length T of the cycle, at least 1 step.
        peak_value: the peak, > 0; None is the spec's LR.
        pct_start: share of the cycle until the peak, 0 to 1.
        pct_final: share of the cycle until the LR is back, `pct_start` to 1.
        div_factor: peak / first LR, > 0.
        final_div_factor: first LR / last LR, > 0.

    Raises:
        ValueError: if an argument is out of its range.

    >>> run = ScheduleRun(lr=1.0, steps=20, steps_per_epoch=4)
    >>> curve = linear_onecycle_schedule(run, pct_start=0.25, pct_final=0.5, div_factor=4.0)
    >>> [round(curve.learning_rate(step), 6) for step in (0, 5, 10, 20)]
    [0.25, 1.0, 0.25, 2.5e-05]
    """
    require(0 <= pct_start <= 1, "pct_start", pct_start, "be 0 to 1")
    require(pct_start <= pct_final <= 1, "pct_final", pct_final, f"be pct_start={pct_start} to 1")
    total = duration(transition_steps, run, "transition_steps", least=1)
    scales = {
        int(pct_start * total): div_factor,
        int(pct_final * total): 1.0 / _above_zero("div_factor", div_factor),
        total: 1.0 / _above_zero("final_div_factor", final_div_factor),
    }
    return _one_cycle(own_peak(run, "peak_value", peak_value) / div_factor, scales, anneal_linear)


def cosine_onecycle_schedule(
    run: ScheduleRun,
    *,
    transition_steps: Duration = "1dur",
    peak_value: float | None = None,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
) -> Curve:
    """Rise to the peak along half a cosine, and fall far below the start along another.

        lr: peak / div_factor -> peak -> peak / div_factor / final_div_factor
        at: 0                 -> pct_start * T             -> T

    Source: optax.cosine_onecycle_schedule

    Args:
        run: the run the curve is for.
        transition_steps: length T of the cycle, at least 1 step.
        peak_value: the peak, > 0; None is the spec's LR.
        pct_start: share of the cycle until the peak, 0 to 1.
        div_factor: peak / first LR, > 0.
        final_div_factor: first LR / last LR, > 0.

    Raises:
        ValueError: if an argument is out of its range.

    >>> run = ScheduleRun(lr=1.0, steps=20, steps_per_epoch=4)
    >>> curve = cosine_onecycle_schedule(run, pct_start=0.5, div_factor=4.0)
    >>> [round(curve.learning_rate(step), 6) for step in (0, 5, 10, 20)]
    [0.25, 0.625, 1.0, 2.5e-05]
    """
    require(0 <= pct_start <= 1, "pct_start", pct_start, "be 0 to 1")
    total = duration(transition_steps, run, "transition_steps", least=1)
    scales = {
        int(pct_start * total): _above_zero("div_factor", div_factor),
        total: 1.0 / (div_factor * _above_zero("final_div_factor", final_div_factor)),
    }
    return _one_cycle(own_peak(run, "peak_value", peak_value) / div_factor, scales, anneal_cosine)


def through_levels(
    bounds: list[int], values: list[float], anneal: Anneal
) -> Callable[[int], float]:
    """Return the rate that is `values[0]` at 0 and `values[i + 1]` at `bounds[i]`."""
    starts = [0, *bounds]

    def rate(step: int) -> float:
        index = bisect_right(bounds, step)
        if index == len(bounds):
            return values[-1]
        start = starts[index]
        share = (step - start) / max(1, bounds[index] - start)
        return anneal(values[index], values[index + 1], share)

    return rate


def _levels(run: ScheduleRun, first: float, scales: Boundaries) -> tuple[list[int], list[float]]:
    name = "boundaries_and_scales"
    for boundary, scale in scales.items():
        require(scale >= 0, f"{name}[{boundary}]", scale, "be at least 0")
    steps = sorted((duration(key, run, name), scale) for key, scale in scales.items())
    return [step for step, _ in steps], list(
        accumulate((scale for _, scale in steps), mul, initial=first)
    )


def _one_cycle(first: float, scales: Mapping[int, float], anneal: Anneal) -> Curve:
    values = [first]
    for scale in scales.values():
        values.append(values[-1] * scale)
    return Curve(learning_rate=through_levels(list(scales), values, anneal))


def _above_zero(name: str, value: float) -> float:
    require(value > 0, name, value, "be greater than 0")
    return value
