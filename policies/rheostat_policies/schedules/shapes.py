"""The few curves that schedules are put together from, each written once.

A fall goes from 1 to 0 while progress goes from 0 to 1. The rise that mirrors it is the fall of
`1 - progress`.
"""

import math
from collections.abc import Callable, Mapping
from typing import Literal

Fall = Callable[[float], float]
"""From progress, 0 to 1, to the share that is left, 1 to 0."""

FallName = Literal["linear", "cosine", "1-sqrt"]


def linear(progress: float) -> float:
    """Fall evenly: 1 - p."""
    return 1.0 - progress


def cosine(progress: float) -> float:
    """Fall along half a cosine: (1 + cos(pi * p)) / 2; past 1 it rises again."""
    return (1.0 + math.cos(math.pi * progress)) / 2.0


def one_minus_sqrt(progress: float) -> float:
    """Fall fast, then slowly: 1 - sqrt(p)."""
    return 1.0 - math.sqrt(progress)


def rex(progress: float) -> float:
    """Fall slowly, then fast: (1 - p) / (1 - p / 2)."""
    return (1.0 - progress) / (1.0 - progress / 2.0)


FALLS: Mapping[FallName, Fall] = {
    "linear": linear,
    "cosine": cosine,
    "1-sqrt": one_minus_sqrt,
}
"""The falls that an argument may name."""

Anneal = Callable[[float, float, float], float]
"""From start, end and progress, 0 to 1, to the value between."""


def anneal_linear(start: float, end: float, progress: float) -> float:
    """Go evenly from start to end."""
    return (end - start) * progress + start


def anneal_cosine(start: float, end: float, progress: float) -> float:
    """Go from start to end along half a cosine."""
    return end + (start - end) * cosine(progress)


_LARGEST = 1e300


def polynomial(power: float) -> Fall:
    """Return the fall (1 - p) ** power, which stays at its end past 1."""
    at_end = math.pow(0.0, power)

    def fall(progress: float) -> float:
        return math.pow(1.0 - progress, power) if progress < 1.0 else at_end

    return fall


def tanh(lb: float, ub: float) -> Fall:
    """Return the fall (1 - tanh(lb * (1 - p) + ub * p)) / 2, which nearly spans 1 to 0."""

    def fall(progress: float) -> float:
        return (1.0 - math.tanh(lb * (1.0 - progress) + ub * progress)) / 2.0

    return fall


def geometric(first: float, ratio: float) -> Callable[[float], float]:
    """Return first * ratio ** n for n >= 0; growth ends at 1e300 rather than overflow."""
    if ratio <= 1.0:
        return lambda n: first * math.pow(ratio, n)

    def value(n: float) -> float:
        try:
            return min(_LARGEST, first * math.pow(ratio, n))
        except OverflowError:
            return _LARGEST

    return value
