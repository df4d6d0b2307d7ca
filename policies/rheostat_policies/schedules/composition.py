"""Schedules made of schedules: one after another, multiplied, and with a warm-up before."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

from rheostat_policies.schedules.api import Curve, ScheduleRun
from rheostat_policies.schedules.checks import require
from rheostat_policies.schedules.durations import Duration, duration
from rheostat_policies.schedules.lookup import Part, make_part
from rheostat_policies.schedules.shapes import FALLS, FallName


def sequence(
    run: ScheduleRun, *, schedules: Sequence[Part], milestones: Sequence[Duration]
) -> Curve:
    """Follow one schedule after another, each from its own beginning.

        lr(t) = schedule_i(t - milestone_i)     milestone_i <= t < milestone_(i+1)

    Each part is made for a run that lasts until the next milestone, so its `1dur` is its own
    length. Momentum stays where one part left it until another moves it; before the first that
    moves it, it waits at that one's beginning.

    Source: torch.optim.lr_scheduler.SequentialLR, optax.join_schedules, ignite's ConcatScheduler

    Args:
        run: the run the curve is for.
        schedules: the parts, each `{name, args}`, at least one.
        milestones: when the second and each later part begins, in order.

    Raises:
        ValueError: if a part refuses, or the milestones do not fit the parts.

    >>> curve = sequence(
    ...     ScheduleRun(lr=1.0, steps=8, steps_per_epoch=4),
    ...     schedules=[{"name": "constant"}, {"name": "rex"}],
    ...     milestones=["0.5dur"],
    ... )
    >>> [round(curve.learning_rate(step), 6) for step in (0, 3, 4, 6, 8)]
    [1.0, 1.0, 1.0, 0.666667, 0.0]
    """
    return _one_after_another(run, "schedules", schedules, milestones)


def SequentialLR(
    run: ScheduleRun, *, schedulers: Sequence[Part], milestones: Sequence[Duration]
) -> Curve:
    """Follow one scheduler after another: `sequence` under torch's name.

        lr(t) = scheduler_i(t - milestone_i)     milestone_i <= t < milestone_(i+1)

    Source: torch.optim.lr_scheduler.SequentialLR

    Args:
        run: the run the curve is for.
        schedulers: the parts, each `{name, args}`, at least one.
        milestones: when the second and each later part begins, in order.

    Raises:
        ValueError: if a part refuses, or the milestones do not fit the parts.

    >>> curve = SequentialLR(
    ...     ScheduleRun(lr=1.0, steps=30, steps_per_epoch=5),
    ...     schedulers=[
    ...         {"name": "ConstantLR", "args": {"factor": 0.1, "total_iters": 20}},
    ...         {"name": "ExponentialLR", "args": {"gamma": 0.5}},
    ...     ],
    ...     milestones=[10],
    ... )
    >>> [curve.learning_rate(step) for step in (0, 9, 10, 11)]
    [0.1, 0.1, 1.0, 0.5]
    """
    return _one_after_another(run, "schedulers", schedulers, milestones)


def chain(run: ScheduleRun, *, schedules: Sequence[Part]) -> Curve:
    """Multiply schedules: each gives the factor by which it alone would change the LR.

        lr(t) = lr * (schedule_1(t) / lr) * (schedule_2(t) / lr) * ...

    Momentum is that of the last part that moves it.

    Source: torch.optim.lr_scheduler.ChainedScheduler; Composer multiplies its schedulers likewise

    Args:
        run: the run the curve is for; its LR must be above 0.
        schedules: the parts, each `{name, args}`, at least one.

    Raises:
        ValueError: if a part refuses, or there is none.

    >>> curve = chain(
    ...     ScheduleRun(lr=1.0, steps=30, steps_per_epoch=5),
    ...     schedules=[
    ...         {"name": "ConstantLR", "args": {"factor": 0.5, "total_iters": 2}},
    ...         {"name": "ExponentialLR", "args": {"gamma": 0.5}},
    ...     ],
    ... )
    >>> [curve.learning_rate(step) for step in (0, 1, 2)]
    [0.5, 0.25, 0.25]
    """
    return _multiplied(run, "schedules", schedules)


def ChainedScheduler(run: ScheduleRun, *, schedulers: Sequence[Part]) -> Curve:
    """Multiply schedulers: `chain` under torch's name.

        lr(t) = lr * (scheduler_1(t) / lr) * (scheduler_2(t) / lr) * ...

    Source: torch.optim.lr_scheduler.ChainedScheduler

    Args:
        run: the run the curve is for; its LR must be above 0.
        schedulers: the parts, each `{name, args}`, at least one.

    Raises:
        ValueError: if a part refuses, or there is none.

    >>> run = ScheduleRun(lr=1.0, steps=30, steps_per_epoch=5)
    >>> halving = {"name": "ExponentialLR", "args": {"gamma": 0.5}}
    >>> ChainedScheduler(run, schedulers=[halving, halving]).learning_rate(1)
    0.25
    """
    return _multiplied(run, "schedulers", schedulers)


def warmup(
    run: ScheduleRun,
    *,
    steps: Duration,
    schedule: Part,
    start_factor: float = 0.0,
    shape: FallName = "linear",
) -> Curve:
    """Rise to where any schedule begins, then follow it.

        lr(t) = schedule(0) * (start_factor + (1 - start_factor) * rise(t / steps))    t < steps
        lr(t) = schedule(t - steps)                                                    otherwise
        rise  = p, (1 - cos(pi * p)) / 2, or 1 - sqrt(1 - p)

    The schedule is made for a run that is shorter by the warm-up.

    Source: ignite's create_lr_scheduler_with_warmup; Goyal et al., arXiv 1706.02677

    Args:
        run: the run the curve is for.
        steps: time of the rise.
        schedule: what follows, `{name, args}`.
        start_factor: LR of the first step / LR at the top, 0 to 1.
        shape: shape of the rise, the mirror image of a fall of this name.

    Raises:
        ValueError: if an argument is out of its range, or the schedule refuses its own.

    >>> curve = warmup(
    ...     ScheduleRun(lr=1.0, steps=30, steps_per_epoch=5),
    ...     steps="2ep",
    ...     schedule={"name": "StepLR", "args": {"step_size": 5}},
    ... )
    >>> [round(curve.learning_rate(step), 6) for step in (0, 5, 10, 14, 15)]
    [0.0, 0.5, 1.0, 1.0, 0.1]
    """
    length = duration(steps, run, "steps")
    require(0 <= start_factor <= 1, "start_factor", start_factor, "be 0 to 1")
    inner = make_part(schedule, replace(run, steps=max(1, run.steps - length)), "schedule")
    follow, momentum, fall = inner.learning_rate, inner.momentum, FALLS[shape]

    def learning_rate(step: int) -> float:
        if step >= length:
            return follow(step - length)
        return follow(0) * (start_factor + (1.0 - start_factor) * fall(1.0 - step / length))

    return Curve(
        learning_rate=learning_rate,
        momentum=None if momentum is None else lambda step: momentum(max(0, step - length)),
    )


def _one_after_another(
    run: ScheduleRun, name: str, parts: Sequence[Part], milestones: Sequence[Duration]
) -> Curve:
    starts = [0, *(duration(each, run, "milestones", least=1) for each in milestones)]
    require(len(parts) >= 1, name, "[]", "have at least one part")
    require(
        len(starts) == len(parts),
        "milestones",
        milestones,
        f"have {len(parts) - 1} entries, one less than {name}",
    )
    require(
        all(early < late for early, late in pairwise(starts)),
        "milestones",
        milestones,
        "rise from each to the next",
    )
    ends = [*starts[1:], max(run.steps, starts[-1] + 1)]
    curves = [
        make_part(part, replace(run, steps=end - start), f"{name}[{index}]")
        for index, (part, start, end) in enumerate(zip(parts, starts, ends, strict=True))
    ]
    rates, later = [curve.learning_rate for curve in curves], starts[1:]

    def learning_rate(step: int) -> float:
        index = bisect_right(later, step)
        return rates[index](step - starts[index])

    return Curve(learning_rate=learning_rate, momentum=_momentum_of(curves, starts))


def _momentum_of(
    curves: Sequence[Curve], starts: Sequence[int]
) -> Callable[[int], float | None] | None:
    moved = [
        (start, end, curve.momentum)
        for start, end, curve in zip(starts, [*starts[1:], None], curves, strict=True)
        if curve.momentum is not None
    ]
    if not moved:
        return None
    begins = [start for start, _, _ in moved]

    def momentum(step: int) -> float | None:
        start, end, value = moved[max(0, bisect_right(begins, step) - 1)]
        last = step if end is None else min(step, end - 1)
        return value(max(0, last - start))

    return momentum


def _multiplied(run: ScheduleRun, name: str, parts: Sequence[Part]) -> Curve:
    require(len(parts) >= 1, name, "[]", "have at least one part")
    require(run.lr > 0, "lr", run.lr, f"be greater than 0 to multiply {name}")
    curves = [make_part(part, run, f"{name}[{index}]") for index, part in enumerate(parts)]
    lr, rates = run.lr, [curve.learning_rate for curve in curves]

    def learning_rate(step: int) -> float:
        value = lr
        for rate in rates:
            value *= rate(step) / lr
        return value

    moved = [curve.momentum for curve in curves if curve.momentum is not None]
    return Curve(learning_rate=learning_rate, momentum=moved[-1] if moved else None)
