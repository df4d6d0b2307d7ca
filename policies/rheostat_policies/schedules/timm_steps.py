"""timm's staircases: step and multistep."""

from bisect import bisect_right
from collections.abc import Sequence

from rheostat_policies.schedules.api import Curve, ScheduleRun
from rheostat_policies.schedules.checks import require
from rheostat_policies.schedules.durations import Duration, duration
from rheostat_policies.schedules.shapes import geometric
from rheostat_policies.schedules.timm_modifiers import Modifiers, NoiseRange, counted, modified


def step(
    run: ScheduleRun,
    *,
    decay_t: Duration,
    decay_rate: float = 1.0,
    warmup_t: Duration = 0,
    warmup_lr_init: float = 0.0,
    warmup_prefix: bool = True,
    t_in_epochs: bool = False,
    noise_range_t: NoiseRange = None,
    noise_pct: float = 0.67,
    noise_std: float = 1.0,
    noise_seed: int = 42,
) -> Curve:
    """Multiply the LR by `decay_rate` every `decay_t`.

        lr(t) = lr * decay_rate ** (t // decay_t)

    Source: timm.scheduler.StepLRScheduler

    Args:
        run: the run the curve is for.
        decay_t: time between two drops.
        decay_rate: factor of each drop, > 0.
        warmup_t: length of the even rise to the spec's LR.
        warmup_lr_init: first LR of the rise, >= 0.
        warmup_prefix: whether the count begins after the rise rather than under it.
        t_in_epochs: whether counts are epochs, and the LR moves between epochs only.
        noise_range_t: where noise is added: from a time on, or [from, before].
        noise_pct: largest noise as a share of the LR, above 0 to 1.
        noise_std: standard deviation of the noise as a share of the LR, >= 0.
        noise_seed: seed of the noise, >= 0.

    Raises:
        ValueError: if an argument is out of its range.

    >>> run = ScheduleRun(lr=1.0, steps=20, steps_per_epoch=5)
    >>> curve = step(run, decay_t=2, decay_rate=0.5, t_in_epochs=True)
    >>> [curve.learning_rate(step) for step in (0, 9, 10, 20)]
    [1.0, 1.0, 0.5, 0.25]
    """
    require(decay_rate > 0, "decay_rate", decay_rate, "be greater than 0")
    every = duration(decay_t, counted(run, t_in_epochs), "decay_t", least=1)
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
    decayed = geometric(run.lr, decay_rate)
    return modified(run, by, lambda t: decayed(t // every))


def multistep(
    run: ScheduleRun,
    *,
    decay_t: Sequence[Duration],
    decay_rate: float = 1.0,
    warmup_t: Duration = 0,
    warmup_lr_init: float = 0.0,
    warmup_prefix: bool = True,
    t_in_epochs: bool = False,
    noise_range_t: NoiseRange = None,
    noise_pct: float = 0.67,
    noise_std: float = 1.0,
    noise_seed: int = 42,
) -> Curve:
    """Multiply the LR by `decay_rate` one step before each milestone, as timm has always done.

        lr(t) = lr * decay_rate ** (number of milestones <= t + 1)

    Source: timm.scheduler.MultiStepLRScheduler

    Args:
        run: the run the curve is for.
        decay_t: milestones, in any order; one named twice counts twice.
        decay_rate: factor of each drop, > 0.
        warmup_t: length of the even rise to the spec's LR.
        warmup_lr_init: first LR of the rise, >= 0.
        warmup_prefix: whether the count begins after the rise rather than under it.
        t_in_epochs: whether counts are epochs, and the LR moves between epochs only.
        noise_range_t: where noise is added: from a time on, or [from, before].
        noise_pct: largest noise as a share of the LR, above 0 to 1.
        noise_std: standard deviation of the noise as a share of the LR, >= 0.
        noise_seed: seed of the noise, >= 0.

    Raises:
        ValueError: if an argument is out of its range.

    >>> run = ScheduleRun(lr=1.0, steps=20, steps_per_epoch=5)
    >>> curve = multistep(run, decay_t=[10, 15], decay_rate=0.5)
    >>> [curve.learning_rate(step) for step in (0, 8, 9, 14)]
    [1.0, 1.0, 0.5, 0.25]
    """
    require(decay_rate > 0, "decay_rate", decay_rate, "be greater than 0")
    in_t = counted(run, t_in_epochs)
    drops = sorted(duration(each, in_t, "decay_t") for each in decay_t)
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
    decayed = geometric(run.lr, decay_rate)
    return modified(run, by, lambda t: decayed(bisect_right(drops, t + 1)))
