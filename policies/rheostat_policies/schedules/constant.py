"""The schedule that does not move."""

from rheostat_policies.schedules.api import Curve, ScheduleRun


def constant(run: ScheduleRun) -> Curve:
    """Keep the spec's LR at every step.

        lr(t) = lr

    >>> constant(ScheduleRun(lr=0.1, steps=10, steps_per_epoch=5)).learning_rate(7)
    0.1
    """
    lr = run.lr
    return Curve(learning_rate=lambda step: lr)
