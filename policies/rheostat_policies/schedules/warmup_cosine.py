"""Linear warm-up, then half a cosine: the schedule most models are trained with."""

import math

from rheostat_policies.schedules.api import Curve, ScheduleRun
from rheostat_policies.schedules.checks import require
from rheostat_policies.schedules.durations import Duration, duration


def warmup_cosine(run: ScheduleRun, *, warmup_steps: Duration = 0, min_lr: float = 0.0) -> Curve:
    """Rise linearly over `warmup_steps`, then follow half a cosine down to `min_lr`.

        lr(t) = lr * t / warmup_steps                                        t < warmup_steps
        lr(t) = min_lr + (lr - min_lr) * (1 + cos(pi * p)) / 2               otherwise
        p     = min(1, (t - warmup_steps) / (steps - warmup_steps))

    With `min_lr=0` this is Hugging Face's `cosine`, without warm-up torch's `CosineAnnealingLR`, up
    to the end of the run, where those turn back and this one stays.

    Source: nanoGPT, llama and most others; Loshchilov & Hutter, arXiv 1608.03983

    Args:
        run: the run the curve is for; its `lr` is the peak.
        warmup_steps: time of the rise from 0, at most the whole run.
        min_lr: LR at the end and after it, 0 to the spec's LR.

    Raises:
        ValueError: if an argument is out of its range.

    >>> curve = warmup_cosine(ScheduleRun(lr=1.0, steps=12, steps_per_epoch=4), warmup_steps=2)
    >>> [round(curve.learning_rate(step), 6) for step in (0, 1, 2, 7, 12, 99)]
    [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]
    """
    warmup = duration(warmup_steps, run, "warmup_steps")
    require(
        warmup <= run.steps, "warmup_steps", warmup_steps, f"be 0 to the run's {run.steps} steps"
    )
    require(0 <= min_lr <= run.lr, "min_lr", min_lr, f"be 0 to the peak of {run.lr}")
    lr, span, cos, pi = run.lr, max(1, run.steps - warmup), math.cos, math.pi

    def learning_rate(step: int) -> float:
        if step < warmup:
            return lr * step / warmup
        progress = (step - warmup) / span
        if progress >= 1.0:
            return min_lr
        return min_lr + (lr - min_lr) * (1.0 + cos(pi * progress)) / 2.0

    return Curve(learning_rate=learning_rate)
