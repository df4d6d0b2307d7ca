"""Steps of a Chebyshev iteration, in the fractal order that keeps it stable."""

import math

from rheostat_policies.schedules.api import Curve, ScheduleRun
from rheostat_policies.schedules.durations import Duration, duration

SMALLEST, LARGEST = 0.05, 1.0
"""The interval of curvatures that the nodes are for; LRs go from lr / LARGEST to lr / SMALLEST."""


def chebyshev(run: ScheduleRun, *, num_epochs: Duration = "1dur", is_warmup: bool = False) -> Curve:
    """Jump between small and large LRs, each the reciprocal of a Chebyshev node.

        lr(t) = lr / (c - r * cos(pi * (sigma(t - 2) + 1/2) / n)),   c, r = 0.525, 0.475
        n     = the next power of two;   sigma = the fractal permutation of the nodes

    The first three steps share a node, as in the library, and past the end the last one stays. LRs
    reach 20 times the spec's.

    Source: pytorch_optimizer.get_chebyshev_schedule; Agarwal, Goel & Zhang, "Acceleration via
    Fractal Learning Rate Schedules", arXiv 2103.01338

    Args:
        run: the run the curve is for.
        num_epochs: number of nodes, one for each of the schedule's steps.
        is_warmup: whether to stay at the spec's LR instead.

    Raises:
        ValueError: if there is no node.

    >>> curve = chebyshev(ScheduleRun(lr=1.0, steps=8, steps_per_epoch=4))
    >>> [round(curve.learning_rate(step), 3) for step in range(6)]
    [16.913, 16.913, 16.913, 1.009, 2.313, 1.619]
    """
    count = duration(num_epochs, run, "num_epochs", least=1)
    if is_warmup:
        return Curve(learning_rate=lambda step: run.lr)
    bits = (count - 1).bit_length()
    nodes = 2**bits
    # The library orders two nodes less than there are, rounded up to a power of two.
    used_bits = max(0, nodes - 3).bit_length()
    center, radius = (LARGEST + SMALLEST) / 2.0, (LARGEST - SMALLEST) / 2.0

    def learning_rate(step: int) -> float:
        node = _permuted(min(max(step - 2, 0), 2**used_bits - 1), used_bits)
        return run.lr / (center - radius * math.cos((node + 0.5) * math.pi / nodes))

    return Curve(learning_rate=learning_rate)


def _permuted(index: int, bits: int) -> int:
    """Return an entry of the fractal permutation of 2 ** bits numbers.

    One of twice the length has each entry p of the shorter one followed by its mirror image,
    length - 1 - p.
    """
    entry, length = 0, 1
    for bit in reversed(range(bits)):
        length *= 2
        if index >> bit & 1:
            entry = length - 1 - entry
    return entry
