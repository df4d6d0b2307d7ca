"""optax's schedules that rise first, by its names."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rheostat_policies.schedules.api import Curve, ScheduleRun
from rheostat_policies.schedules.checks import own_peak, require, require_lr
from rheostat_policies.schedules.composition import sequence
from rheostat_policies.schedules.durations import Duration, duration
from rheostat_policies.schedules.optax_decays import cosine_decay_schedule, exponential_decay


def warmup_constant_schedule(
    run: ScheduleRun,
    *,
    warmup_steps: Duration,
    init_value: float = 0.0,
    peak_value: float | None = None,
) -> Curve:
    """Rise evenly, then stay.

        lr(t) = init_value + (peak_value - init_value) * min(1, t / warmup_steps)

    Source: optax.warmup_constant_schedule

    Args:
        run: the run the curve is for.
        warmup_steps: time of the rise, at least 1 step.
        init_value: LR at the beginning, >= 0.
        peak_value: LR after the rise, > 0; None is the spec's.

    Raises:
        ValueError: if an argument is out of its range.

    >>> run = ScheduleRun(lr=1.0, steps=8, steps_per_epoch=4)
    >>> curve = warmup_constant_schedule(run, warmup_steps="1ep")
    >>> [curve.learning_rate(step) for step in (0, 1, 4, 8)]
    [0.0, 0.25, 1.0, 1.0]
    """
    peak = own_peak(run, "peak_value", peak_value)
    warmup = duration(warmup_steps, run, "warmup_steps", least=1)
    return Curve(learning_rate=_rising(init_value, peak, warmup, lambda since: peak))


def warmup_cosine_decay_schedule(
    run: ScheduleRun,
    *,
    warmup_steps: Duration,
    init_value: float = 0.0,
    peak_value: float | None = None,
    decay_steps: Duration = "1dur",
    end_value: float = 0.0,
    exponent: float = 1.0,
) -> Curve:
    """Rise evenly, then fall along half a cosine, raised to a power.

        lr(t) = init_value + (peak_value - init_value) * t / warmup_steps       t < warmup_steps
        lr(t) = end_value + (peak_value - end_value) * fall ** exponent         otherwise
        fall  = (1 + cos(pi * p)) / 2
        p     = min(1, (t - warmup_steps) / (decay_steps - warmup_steps))

    Source: optax.warmup_cosine_decay_schedule

    Args:
        run: the run the curve is for.
        warmup_steps: time of the rise.
        init_value: LR at the beginning, >= 0.
        peak_value: LR after the rise, > 0; None is the spec's.
        decay_steps: time of rise and fall together, above `warmup_steps`.
        end_value: LR at the end, 0 to the peak.
        exponent: bends the fall, > 0.

    Raises:
        ValueError: if an argument is out of its range.

    >>> run = ScheduleRun(lr=1.0, steps=12, steps_per_epoch=4)
    >>> curve = warmup_cosine_decay_schedule(run, warmup_steps=4)
    >>> [round(curve.learning_rate(step), 6) for step in (0, 2, 4, 8, 12)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    peak = own_peak(run, "peak_value", peak_value)
    require(0 <= end_value <= peak, "end_value", end_value, f"be 0 to the peak of {peak}")
    warmup = duration(warmup_steps, run, "warmup_steps")
    total = duration(decay_steps, run, "decay_steps")
    require(total > warmup, "decay_steps", decay_steps, f"be above the {warmup} warmup_steps")
    fall = cosine_decay_schedule(
        run,
        init_value=peak_value,
        decay_steps=total - warmup,
        alpha=end_value / peak,
        exponent=exponent,
    )
    return Curve(learning_rate=_rising(init_value, peak, warmup, fall.learning_rate))


def warmup_exponential_decay_schedule(
    run: ScheduleRun,
    *,
    warmup_steps: Duration,
    transition_steps: Duration,
    decay_rate: float,
    init_value: float = 0.0,
    peak_value: float | None = None,
    transition_begin: Duration = 0,
    staircase: bool = False,
    end_value: float | None = None,
) -> Curve:
    """Rise evenly, then multiply by `decay_rate` in every `transition_steps`.

        lr(t) = init_value + (peak_value - init_value) * t / warmup_steps       t < warmup_steps
        lr(t) = peak_value * decay_rate ** (since / transition_steps)           otherwise
        since = t - warmup_steps - transition_begin, at least 0

    Source: optax.warmup_exponential_decay_schedule

    Args:
        run: the run the curve is for.
        warmup_steps: time of the rise.
        transition_steps: time in which the LR is multiplied once, at least 1 step.
        decay_rate: the factor, > 0.
        init_value: LR at the beginning, >= 0.
        peak_value: LR after the rise, > 0; None is the spec's.
        transition_begin: time at the peak.
        staircase: whether the exponent is rounded down.
        end_value: where the decay, or growth, stops, >= 0; None lets it go on.

    Raises:
        ValueError: if an argument is out of its range.

    >>> run = ScheduleRun(lr=1.0, steps=12, steps_per_epoch=4)
    >>> curve = warmup_exponential_decay_schedule(
    ...     run, warmup_steps=4, transition_steps=2, decay_rate=0.25
    ... )
    >>> [curve.learning_rate(step) for step in (0, 2, 4, 5, 6)]
    [0.0, 0.5, 1.0, 0.5, 0.25]
    """
    peak = own_peak(run, "peak_value", peak_value)
    warmup = duration(warmup_steps, run, "warmup_steps")
    fall = exponential_decay(
        run,
        transition_steps=transition_steps,
        decay_rate=decay_rate,
        init_value=peak_value,
        transition_begin=transition_begin,
        staircase=staircase,
        end_value=end_value,
    )
    return Curve(learning_rate=_rising(init_value, peak, warmup, fall.learning_rate))


def sgdr_schedule(run: ScheduleRun, *, cosine_kwargs: Sequence[Mapping[str, Any]]) -> Curve:
    """Follow one `optax.warmup_cosine_decay_schedule` after another.

        lr(t) = cycle_i(t - sum of the decay_steps before it)

    Source: optax.sgdr_schedule; Loshchilov & Hutter, "SGDR", arXiv 1608.03983

    Args:
        run: the run the curve is for.
        cosine_kwargs: the arguments of each, of which `decay_steps` is its length, at least one.

    Raises:
        ValueError: if a cycle refuses its arguments, or there is none.

    >>> cycle = {"warmup_steps": 2, "decay_steps": 6}
    >>> curve = sgdr_schedule(
    ...     ScheduleRun(lr=1.0, steps=12, steps_per_epoch=4),
    ...     cosine_kwargs=[cycle, {**cycle, "peak_value": 0.5}],
    ... )
    >>> [round(curve.learning_rate(step), 6) for step in (0, 2, 4, 6, 8, 10)]
    [0.0, 1.0, 0.5, 0.0, 0.5, 0.25]
    """
    lengths = []
    for index, kwargs in enumerate(cosine_kwargs):
        name = f"cosine_kwargs[{index}]"
        require("decay_steps" in kwargs, name, dict(kwargs), "have decay_steps")
        lengths.append(duration(kwargs["decay_steps"], run, f"{name}.decay_steps", least=1))
    return sequence(
        run,
        schedules=[
            {
                "name": "optax.warmup_cosine_decay_schedule",
                "args": {**kwargs, "decay_steps": length},
            }
            for kwargs, length in zip(cosine_kwargs, lengths, strict=True)
        ],
        milestones=[sum(lengths[: index + 1]) for index in range(len(lengths) - 1)],
    )


def _rising(
    init_value: float, peak: float, warmup: int, follow: Callable[[int], float]
) -> Callable[[int], float]:
    first = require_lr("init_value", init_value)

    def rate(step: int) -> float:
        if step >= warmup:
            return follow(step - warmup)
        return (first - peak) * (1.0 - step / warmup) + peak

    return rate
