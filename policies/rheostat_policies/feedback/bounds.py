"""The range that a policy keeps its factor in."""

import math


class Bounds:
    """The smallest and the largest factor of a policy, with 1 between them.

    Args:
        min_factor: smallest factor, greater than 0 and at most 1.
        max_factor: largest factor, at least 1.

    Raises:
        ValueError: if one is out of its range.
    """

    def __init__(self, min_factor: float, max_factor: float) -> None:
        if not 0 < min_factor <= 1:
            raise ValueError(f"min_factor={min_factor} must be greater than 0 and at most 1")
        if not 1 <= max_factor < math.inf:
            raise ValueError(f"max_factor={max_factor} must be at least 1 and finite")
        self.lowest = min_factor
        self.highest = max_factor

    def clamp(self, factor: float) -> float:
        """Return the nearest factor in the range; the smallest for NaN."""
        return min(self.highest, max(self.lowest, factor))
