"""What timm adds to every schedule: a warm-up, noise, and counting in updates or epochs."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rheostat_policies.schedules.api import Curve, ScheduleRun
from rheostat_policies.schedules.checks import require, require_lr
from rheostat_policies.schedules.durations import Duration, duration

if TYPE_CHECKING:
    import numpy as np

Rate = Callable[[int], float]
"""An LR as a function of timm's t, which is an update or an epoch."""

NoiseRange = Duration | Sequence[Duration] | None
"""Where noise is added: from a time on, from one to before another, or nowhere."""

_WORD, _MANTISSA = 2**32, 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class Modifiers:
    """The arguments that timm's schedulers share, as the spec gives them."""

    warmup_t: Duration
    warmup_lr_init: float
    warmup_prefix: bool
    t_in_epochs: bool
    noise_range_t: NoiseRange
    noise_pct: float
    noise_std: float
    noise_seed: int


def counted(run: ScheduleRun, t_in_epochs: bool) -> ScheduleRun:
    """Return the run as timm counts it: with epochs for steps, if it counts in epochs."""
    if not t_in_epochs:
        return run
    return replace(
        run,
        steps=max(1, math.ceil(run.steps / run.steps_per_epoch)),
        steps_per_epoch=1,
        batch_size=run.batch_size * run.steps_per_epoch,
    )


def modified(run: ScheduleRun, by: Modifiers, rate: Rate, *, top: float | None = None) -> Curve:
    """Return the curve of a rate with its warm-up before it and its noise on it.

    Args:
        run: the run the curve is for, as its steps count.
        by: the modifiers.
        rate: the LR without them.
        top: what the warm-up rises to; None is the spec's LR.

    Raises:
        ValueError: if a modifier is out of its range.
    """
    in_t = counted(run, by.t_in_epochs)
    rising = _with_warmup(in_t, by, rate, run.lr if top is None else top)
    noisy = _with_noise(in_t, by, rising)
    if not by.t_in_epochs:
        return Curve(learning_rate=noisy)
    each = run.steps_per_epoch
    return Curve(learning_rate=lambda step: noisy(step // each))


def warmup_length(run: ScheduleRun, by: Modifiers) -> int:
    """Return the length of the warm-up in timm's t."""
    return duration(by.warmup_t, counted(run, by.t_in_epochs), "warmup_t")


def _with_warmup(run: ScheduleRun, by: Modifiers, rate: Rate, top: float) -> Rate:
    length = duration(by.warmup_t, run, "warmup_t")
    first = require_lr("warmup_lr_init", by.warmup_lr_init)
    if length == 0:
        return rate
    rise, shift = (top - first) / length, length if by.warmup_prefix else 0
    return lambda t: first + t * rise if t < length else rate(t - shift)


def _with_noise(run: ScheduleRun, by: Modifiers, rate: Rate) -> Rate:
    span, std, limit, seed = by.noise_range_t, by.noise_std, by.noise_pct, by.noise_seed
    if span is None:
        return rate
    require(0 < limit <= 1, "noise_pct", limit, "be above 0 to 1")
    # Noise over the limit is drawn again: one draw in a hundred must be within it.
    require(0 <= std <= 100 * limit, "noise_std", std, f"be 0 to {100 * limit}, 100 x noise_pct")
    require(seed >= 0, "noise_seed", seed, "be at least 0")
    import numpy as np  # here, since few schedules have noise, and it takes a tenth of a second

    within, twister = _within(run, span), np.random.RandomState(0)

    def noisy(t: int) -> float:
        value = rate(t)
        if not within(t):
            return value
        draws = (normal * std for normal in standard_normals(twister, seed + t))
        return value + value * next(noise for noise in draws if abs(noise) < limit)

    return noisy


def _within(run: ScheduleRun, span: Duration | Sequence[Duration]) -> Callable[[int], bool]:
    if isinstance(span, int | str):
        start = duration(span, run, "noise_range_t")
        return lambda t: t >= start
    require(len(span) == 2, "noise_range_t", span, "be a time, or two: from and before")
    start, end = (duration(each, run, "noise_range_t") for each in span)
    return lambda t: start <= t < end


def standard_normals(twister: "np.random.RandomState", seed: int) -> Iterator[float]:
    """Yield the float32 normals of `torch.randn(1, generator=g)` after `g.manual_seed(seed)`.

    Torch's generator on the CPU is the Mersenne twister, as numpy's legacy one, and its single
    normals are Box and Muller's, two from two 53-bit uniforms. The twister is seeded here; making
    a new one takes thirty times as long.

    >>> import numpy as np
    >>> normals = standard_normals(np.random.RandomState(0), 42)
    >>> [round(next(normals), 6) for _ in range(2)]
    [0.33669, 0.128809]
    """
    import numpy as np

    twister.seed(seed % _WORD)
    while True:
        words = [int(word) for word in np.frombuffer(twister.bytes(16), "<u4")]
        first, second = (
            (high * _WORD + low) % _MANTISSA / _MANTISSA
            for high, low in zip(words[::2], words[1::2], strict=True)
        )
        radius, angle = math.sqrt(-2.0 * math.log1p(-second)), 2.0 * math.pi * first
        yield float(np.float32(radius * math.cos(angle)))
        yield float(np.float32(radius * math.sin(angle)))
