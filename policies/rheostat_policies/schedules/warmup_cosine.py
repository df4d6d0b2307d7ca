"""Linear warm-up, then half a cosine: the schedule most models are trained with."""

import math

from rheostat_policies.schedules.api import Curve, ScheduleRun


def warmup_cosine(run: ScheduleRun, *, warmup_steps: int = 0, min_lr: float = 0.0) -> Curve:
    """Rise linearly over `warmup_steps`, then follow half a cosine down to `min_lr`.

        lr(t) = lr * t / warmup_steps                                        t < warmup_steps
        lr(t) = min_lr + (lr - min_lr) * (1 + cos(pi * p)) / 2               otherwise
        p     = min(1, (t - warmup_steps) / (steps - warmup_steps))

    With `min_lr=0` this is `transformers.get_cosine_schedule_with_warmup` (half a cycle); without
    warm-up it is torch's `CosineAnnealingLR(T_max=steps, eta_min=min_lr)` up to its end, where
    torch's turns back and this one stays.

    Args:
        run: the run the curve is for; its `lr` is the peak.
        warmup_steps: optimizer steps of the rise from 0, 0 to `run.steps`.
        min_lr: LR at the end and after it, 0 to `run.lr`.

    Raises:
        ValueError: if an argument is out of its range.

    >>> curve = warmup_cosine(ScheduleRun(lr=1.0, steps=12, steps_per_epoch=4), warmup_steps=2)
    >>> [round(curve.learning_rate(step), 6) for step in (0, 1, 2, 7, 12, 99)]
    [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]
    """
    if not 0 <= warmup_steps <= run.steps:
        raise ValueError(f"warmup_steps={warmup_steps} must be 0 to the run's {run.steps} steps")
    if not 0 <= min_lr <= run.lr:
        raise ValueError(f"min_lr={min_lr} must be 0 to the peak of {run.lr}")
    lr, span, cos, pi = run.lr, max(1, run.steps - warmup_steps), math.cos, math.pi

    def learning_rate(step: int) -> float:
        if step < warmup_steps:
            return lr * step / warmup_steps
        progress = (step - warmup_steps) / span
        if progress >= 1.0:
            return min_lr
        return min_lr + (lr - min_lr) * (1.0 + cos(pi * progress)) / 2.0

    return Curve(learning_rate=learning_rate)
