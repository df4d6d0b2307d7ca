"""Where a loss is going: an exponential through its values, read off at a later step."""

import math
from collections.abc import Sequence

import numpy as np

_RATES = 64
"""Decay rates that are tried."""
_LEAST = 4
"""Values that an exponential takes; of fewer the last one is the forecast."""


def forecast(losses: Sequence[float], step: int) -> float:
    """Return the loss to expect at a step, counted from the first of some losses.

    Puts a * exp(-b * t) + c, b > 0, through them by least squares: for each of 64 rates b, from one
    that hardly bends over `step` steps to one that is spent within three, a and c are a line's. Of
    a loss that rises, and of fewer than four, the forecast is the mean of the last quarter: an
    exponential cannot tell where a rise will end.

    Args:
        losses: of consecutive steps, finite.
        step: at or after the last of them.
    """
    values = np.asarray(losses, dtype=np.float64)
    recent = float(values[-max(1, len(values) // 4) :].mean())
    if len(values) < _LEAST:
        return recent
    times = np.arange(len(values), dtype=np.float64)
    centred = values - values.mean()
    best, found = math.inf, recent
    for rate in np.geomspace(0.1 / max(1, step), 1.0, _RATES):
        shape = np.exp(-rate * times)
        bent = shape - shape.mean()
        spread = float(bent @ bent)
        height = float(bent @ centred) / spread if spread > 0 else 0.0
        error = float(((centred - height * bent) ** 2).sum())
        if height > 0 and error < best:
            level = float(values.mean() - height * shape.mean())
            best, found = error, height * math.exp(-rate * step) + level
    return found
