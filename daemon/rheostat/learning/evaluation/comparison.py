"""Two contenders beside each other, and what can be said of the difference."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy import stats


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The paired difference of final validation losses, run by run of the same seed."""

    difference: float
    """Mean of ours minus theirs; below 0 ours is lower."""
    p: float
    """Of a two-sided paired t-test: how often chance alone would show as large a difference."""


def compare(ours: Sequence[float], theirs: Sequence[float]) -> Comparison:
    """Compare losses of the same seeds, at least two of them, in the same order."""
    differences = [one - other for one, other in zip(ours, theirs, strict=True)]
    if not any(differences):
        return Comparison(difference=0.0, p=1.0)
    if len(set(differences)) == 1:
        return Comparison(difference=differences[0], p=0.0)
    p = float(stats.ttest_rel(ours, theirs).pvalue)
    return Comparison(difference=fmean(differences), p=p)


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Return mean and sample standard deviation; the latter is NaN of one value."""
    return fmean(values), stdev(values) if len(values) > 1 else math.nan
