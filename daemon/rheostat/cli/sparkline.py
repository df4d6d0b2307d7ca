"""A curve in one line of text, and the bounded memory it is drawn from."""

import math
from collections.abc import Sequence
from itertools import pairwise

_LEVELS = "▁▂▃▄▅▆▇█"
_LOG_FROM = 20.0
"""Highest over lowest value from which on the levels are logarithmic."""


class Trace:
    """The course of one number over the steps of a run of any length, in bounded memory.

    Each point is the mean over equally many steps. When there is no room for another point, each
    stands for twice as many from then on: so the whole run is always shown, as finely as can be.

    Args:
        points: most points it keeps, even and at least 2.
    """

    def __init__(self, points: int = 512) -> None:
        self._points = points
        self._stride = 1
        self._sums: list[float] = []
        self._counts: list[int] = []
        self.last: float | None = None
        """The newest value; None before any."""

    def add(self, step: int, value: float | None) -> None:
        """Note a value; None and what is not finite leave no point.

        A step before the newest takes back whatever came after it, as a rollback does.
        """
        if value is None:
            return
        self.last = value
        if not math.isfinite(value):
            return
        while step // self._stride >= self._points:
            self._double()
        point = step // self._stride
        del self._sums[point + 1 :], self._counts[point + 1 :]
        missing = point + 1 - len(self._sums)
        self._sums += [0.0] * missing
        self._counts += [0] * missing
        self._sums[point] += value
        self._counts[point] += 1

    @property
    def values(self) -> list[float]:
        """The course so far, one value for equally many steps; what was not seen is as before."""
        values: list[float] = []
        for total, count in zip(self._sums, self._counts, strict=True):
            if count:
                values.append(total / count)
            elif values:
                values.append(values[-1])
        return values

    def _double(self) -> None:
        self._stride *= 2
        if len(self._sums) % 2:
            self._sums.append(0.0)
            self._counts.append(0)
        self._sums = [a + b for a, b in zip(self._sums[::2], self._sums[1::2], strict=True)]
        self._counts = [a + b for a, b in zip(self._counts[::2], self._counts[1::2], strict=True)]


def sparkline(values: Sequence[float], width: int) -> str:
    """Return a curve as at most `width` block characters; logarithmic where it spans decades.

    >>> sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8)
    '▁▂▃▄▅▆▇█'

    Args:
        values: finite, oldest first; those that share a character are averaged.
        width: characters there is room for.
    """
    means = _spread(values, width)
    if not means:
        return ""
    if min(means) > 0 and max(means) / min(means) > _LOG_FROM:
        means = [math.log(mean) for mean in means]
    low, high, top = min(means), max(means), len(_LEVELS) - 1
    if low == high:
        return _LEVELS[top // 2] * len(means)
    return "".join(_LEVELS[round((mean - low) / (high - low) * top)] for mean in means)


def _spread(values: Sequence[float], width: int) -> list[float]:
    """Return the means of `width` stretches of nearly equal length; the values, if they fit."""
    count = len(values)
    if count <= width:
        return list(values)
    edges = [index * count // width for index in range(width + 1)]
    return [sum(values[start:end]) / (end - start) for start, end in pairwise(edges)]
