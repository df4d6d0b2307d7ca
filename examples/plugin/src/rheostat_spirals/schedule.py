"""Down the stairs: constant for a while, then a step lower."""

from rheostat_policies import Curve, ScheduleRun


def stairs(run: ScheduleRun, /, *, treads: int = 5, last: float = 0.01) -> Curve:
    """Go from the LR to `last` times the LR in steps of equal length and equal ratio.

        lr(t) = LR * last ** (k / (treads - 1)),   k = floor(t * treads / steps)

    Args:
        run: what it is made for.
        treads: number of different LRs, >= 2.
        last: the lowest, as a share of the first, above 0 and at most 1.

    Raises:
        ValueError: if an argument is out of its range.
    """
    if treads < 2:
        raise ValueError(f"treads={treads} must be at least 2")
    if not 0 < last <= 1:
        raise ValueError(f"last={last} must be above 0 and at most 1")

    def learning_rate(step: int) -> float:
        # A horizon may move, and a curve goes on past its end.
        stair = min(step * treads // run.steps, treads - 1)
        share: float = last ** (stair / (treads - 1))
        return run.lr * share

    return Curve(learning_rate=learning_rate)
