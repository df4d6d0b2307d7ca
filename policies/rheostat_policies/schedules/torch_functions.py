"""Torch's schedules that are whatever a function of one's own says."""

from collections.abc import Callable

from rheostat_policies.schedules.api import Curve, ScheduleRun
from rheostat_policies.schedules.lookup import function_of


def LambdaLR(run: ScheduleRun, *, lr_lambda: Callable[[int], float] | str) -> Curve:
    """Multiply the LR by a function of the step.

        lr(t) = lr * lr_lambda(t)

    Source: torch.optim.lr_scheduler.LambdaLR

    Args:
        run: the run the curve is for.
        lr_lambda: a pure function from the step, >= 0, to a factor, >= 0, by import path
            `package.module:function`.

    Raises:
        ValueError: if it cannot be imported.

    >>> run = ScheduleRun(lr=0.1, steps=30, steps_per_epoch=5)
    >>> LambdaLR(run, lr_lambda="math:sqrt").learning_rate(4)
    0.2
    """
    lr, factor = run.lr, function_of("lr_lambda", lr_lambda)
    return Curve(learning_rate=lambda step: lr * factor(step))


def MultiplicativeLR(run: ScheduleRun, *, lr_lambda: Callable[[int], float] | str) -> Curve:
    """Multiply the LR of the step before by a function of the step.

        lr(t) = lr * lr_lambda(1) * lr_lambda(2) * ... * lr_lambda(t)

    The products are kept as far as they were asked for. Past the planned end the LR stays, so that
    no step, however far, takes long.

    Source: torch.optim.lr_scheduler.MultiplicativeLR

    Args:
        run: the run the curve is for.
        lr_lambda: a pure function from the step, >= 1, to a factor, >= 0, by import path
            `package.module:function`.

    Raises:
        ValueError: if it cannot be imported.

    >>> run = ScheduleRun(lr=1.0, steps=30, steps_per_epoch=5)
    >>> [MultiplicativeLR(run, lr_lambda=float).learning_rate(step) for step in (0, 1, 4)]
    [1.0, 1.0, 24.0]
    """
    factor, last = function_of("lr_lambda", lr_lambda), run.steps
    known = [run.lr]

    def learning_rate(step: int) -> float:
        asked = min(step, last)
        while len(known) <= asked:
            known.append(known[-1] * factor(len(known)))
        return known[asked]

    return Curve(learning_rate=learning_rate)
