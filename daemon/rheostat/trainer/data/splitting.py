"""Setting samples aside for validation: the same ones in every run, whatever its seed."""

import numpy as np
from numpy.typing import NDArray


def split_indices(
    classes: NDArray[np.int64] | None, samples: int, share: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices to train on and those to validate on, each ascending.

    Samples are lined up class by class, in a fixed shuffled order within each class, and every
    (1 / share)-th is set aside: `samples * share` in all, rounded, and from each class its share to
    within one sample.

    Args:
        classes: (samples,) the class of each sample; None where there are no classes.
        samples: Number of samples.
        share: Part to set aside, 0 to 1.
    """
    shuffled = _mixed(np.arange(samples, dtype=np.uint64))
    line = np.argsort(shuffled) if classes is None else np.lexsort((shuffled, classes))
    quota = np.floor(np.arange(samples + 1) * share + 0.5)
    aside = np.diff(quota) > 0
    return np.sort(line[~aside]), np.sort(line[aside])


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scatter integers by the SplitMix64 finaliser.

    Random generators may change their streams between releases; this arithmetic cannot, so the
    split of a data set stays what it is.
    """
    mixed = (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
