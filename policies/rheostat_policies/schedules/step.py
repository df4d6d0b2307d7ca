"""Torch's staircase."""

from rheostat_policies.schedules.api import Curve, ScheduleRun


def StepLR(run: ScheduleRun, *, step_size: int, gamma: float = 0.1) -> Curve:
    """Multiply the LR by `gamma` every `step_size` steps, as `torch.optim.lr_scheduler.StepLR`.

        lr(t) = lr * gamma ** (t // step_size)

    Args:
        run: the run the curve is for.
        step_size: optimizer steps between two drops, >= 1.
        gamma: factor of each drop, > 0.

    Raises:
        ValueError: if an argument is out of its range.

    >>> curve = StepLR(ScheduleRun(lr=0.1, steps=30, steps_per_epoch=5), step_size=10, gamma=0.5)
    >>> [curve.learning_rate(step) for step in (0, 9, 10, 20)]
    [0.1, 0.1, 0.05, 0.025]
    """
    if step_size < 1:
        raise ValueError(f"step_size={step_size} must be at least 1 optimizer step")
    if not gamma > 0:
        raise ValueError(f"gamma={gamma} must be greater than 0")
    lr = run.lr
    return Curve(learning_rate=lambda step: lr * gamma ** (step // step_size))
