"""How long a run's steps took, counted into buckets as they are reported."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

STEP_DURATION_BUCKETS = (
    100e-6,
    250e-6,
    500e-6,
    1e-3,
    2.5e-3,
    5e-3,
    10e-3,
    25e-3,
    50e-3,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
)
"""Upper edges in seconds.

Three to a decade, so that a quantile read off the histogram is wrong by a factor of 2.5 at most,
at 19 series a run. No optimizer step of a real model is shorter than the first edge; one longer
than the last is a stall, and how long a stall is matters less than that there is one.
"""


class Histogram:
    """Counts of durations by bucket; a value on an edge belongs to the bucket below it."""

    def __init__(self, buckets: tuple[float, ...] = STEP_DURATION_BUCKETS) -> None:
        self.buckets = buckets
        """Upper edges in seconds, ascending, without +Inf."""
        self.counts = [0] * (len(buckets) + 1)
        """Durations seen by bucket, not cumulative; the last is what is above every edge."""
        self.sum = 0.0
        """All durations together, in seconds."""
        self._edges = np.array(buckets)

    def observe_many(self, durations: bytes | Sequence[float]) -> None:
        """Count durations in seconds, as numbers or as the packed doubles of `StepRows`."""
        values: npt.NDArray[np.float64] = (
            np.frombuffer(durations, dtype="<f8")
            if isinstance(durations, bytes)
            else np.asarray(durations, dtype="<f8")
        )
        found = np.bincount(self._edges.searchsorted(values), minlength=len(self.counts))
        self.counts = [seen + new for seen, new in zip(self.counts, found.tolist(), strict=True)]
        self.sum += float(values.sum())
