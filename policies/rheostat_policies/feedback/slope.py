"""How fast a loss falls: a straight line through its last values, by least squares.

The sums a line needs, as a dict that is part of a policy's state: constant size however long the
window is.
"""

import math
from dataclasses import dataclass

LARGEST = 1e100
"""Losses beyond this are taken for infinite: their squares would be."""

Sums = dict[str, float]


@dataclass(frozen=True, slots=True)
class Line:
    """What a line through the values tells."""

    slope: float
    """Change per step; negative while the loss falls."""
    error: float
    """Standard error of the slope, >= 0."""
    mean: float
    deviation: float
    """Standard deviation of the values around their mean, >= 0."""


def empty_sums() -> Sums:
    """Return the sums of no values."""
    return {"count": 0, "first": 0.0, "sum": 0.0, "moment": 0.0, "squares": 0.0}


def with_value(sums: Sums, value: float) -> Sums:
    """Return the sums with the next step's value, whose size must be below `LARGEST`."""
    count = sums["count"]
    first = sums["first"] if count else value
    away = value - first  # from the first value, or a small slope drowns in a large loss
    return {
        "count": count + 1,
        "first": first,
        "sum": sums["sum"] + away,
        "moment": sums["moment"] + count * away,
        "squares": sums["squares"] + away * away,
    }


def line_through(sums: Sums) -> Line:
    """Return the line through the values, of which there must be at least three."""
    count, total = sums["count"], sums["sum"]
    spread = count * (count * count - 1) / 12  # of the steps 0, 1, 2, ... around their mean
    slope = (sums["moment"] - (count - 1) / 2 * total) / spread
    scatter = max(0.0, sums["squares"] - total * total / count)
    unexplained = max(0.0, scatter - slope * slope * spread)
    return Line(
        slope=slope,
        error=math.sqrt(unexplained / (count - 2) / spread),
        mean=sums["first"] + total / count,
        deviation=math.sqrt(scatter / count),
    )
