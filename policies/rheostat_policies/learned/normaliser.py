"""Bringing features to the scale a network was trained at."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rheostat_policies.learned.features import Rows


@dataclass(frozen=True, kw_only=True)
class Normaliser:
    """x becomes clamp((x - mean) / deviation, -clip, clip), feature by feature.

    It is part of what was learned: a network under another normaliser is another policy.
    """

    mean: Sequence[float]
    deviation: Sequence[float]
    """Greater than 0."""
    clip: float = 10.0

    def __call__(self, rows: Rows) -> Rows:
        """Return (groups, features) at the network's scale."""
        mean, deviation = self._arrays
        scaled = np.clip((rows - mean) / deviation, -self.clip, self.clip)
        return scaled.astype(np.float32)

    @cached_property
    def _arrays(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return np.array(self.mean, dtype=np.float64), np.array(self.deviation, dtype=np.float64)

    def settings(self) -> dict[str, object]:
        """Return what `normaliser_of` makes it from."""
        return asdict(self)


def normaliser_of(settings: Mapping[str, object], features: int) -> Normaliser:
    """Return the normaliser in a file.

    Raises:
        ValueError: if it is none for that many features.
    """
    try:
        made = Normaliser(**settings)  # type: ignore[arg-type]
        mean, deviation = made._arrays
        fits = mean.shape == deviation.shape == (features,) and bool(np.all(deviation > 0))
        is_sound = fits and bool(np.all(np.isfinite(mean))) and made.clip > 0
    except (TypeError, ValueError) as error:
        raise ValueError(f"its normaliser is damaged: {error}") from error
    if not is_sound:
        raise ValueError(f"its normaliser is not for {features} features")
    return made
