"""What the answer of a learned policy's network means for the factors of a run."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rheostat_policies.api import Observation

EXPONENTS = (0.0, 1.0, -1.0)
"""What the discrete answers 0, 1 and 2 mean: keep, raise, lower."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchored:
    """Each answer is a bounded log-factor on the schedule, whatever was answered before:

        factor_g = exp(reach * a_g),   a_g in [-1, 1]

    So 0 is the schedule itself, to the last bit, and a policy that drifts cannot lose it.
    """

    kind: Literal["anchored"] = "anchored"
    reach: float = 1.3
    """Largest |log factor|; 1.3 is 0.27 to 3.7 times the schedule."""

    @property
    def outputs(self) -> int:
        """Width of the network's last layer."""
        return 1

    def shown(self, groups: Sequence[str]) -> Sequence[str]:
        """Return the groups that the network sees, a row each: all, and it answers for each."""
        return groups

    def exponents(self, outputs: Sequence[Sequence[float]]) -> list[float]:
        """Return the answer for each group, from the network's row of outputs for it."""
        return [_within_one(row[0]) for row in outputs]

    def factors(
        self, exponents: Sequence[float], groups: Sequence[str], observation: Observation
    ) -> dict[str, float]:
        """Return the wished factor by group, for one exponent in [-1, 1] per group."""
        wished = (math.exp(self.reach * exponent) for exponent in exponents)
        return dict(zip(groups, wished, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Recursive:
    """Each answer scales the LR there is, for all groups alike, within absolute bounds:

        LR_g = clamp(LR_g * ratio^a, min_lr, max_lr),   a in [-1, 1], or one of -1, 0, 1

    as in Xu et al. (arXiv 1909.09712), who used no bounds when they tested. Without an anchor,
    small steps in one direction add up; prefer `Anchored` for anything but comparison.
    """

    kind: Literal["recursive"] = "recursive"
    ratio: float = 1.05
    """Most that one answer changes the LR, as a factor; above 1."""
    min_lr: float = 1e-5
    max_lr: float = 1e-1
    discrete: bool = True
    """Whether the network chooses between keep, raise and lower, or says how much."""

    @property
    def outputs(self) -> int:
        """Width of the network's last layer."""
        return len(EXPONENTS) if self.discrete else 1

    def shown(self, groups: Sequence[str]) -> Sequence[str]:
        """Return the groups that the network sees, a row each: the first stands for all."""
        return groups[:1]

    def exponents(self, outputs: Sequence[Sequence[float]]) -> list[float]:
        """Return the one answer there is, from the network's only row of outputs."""
        row = outputs[0]
        if not self.discrete:
            return [_within_one(row[0])]
        return [EXPONENTS[max(range(len(row)), key=row.__getitem__)]]

    def factors(
        self,
        exponents: Sequence[float],
        groups: Sequence[str],
        observation: Observation,
        disturbance: float = 0.0,
    ) -> dict[str, float]:
        """Return the wished factor by group; a group whose schedule gives 0 is left alone.

        Args:
            exponents: the answer, in [-1, 1].
            groups: whose factors are wished.
            observation: what was answered.
            disturbance: added to the LR of each group before the bounds, while training.
        """
        step = self.ratio ** exponents[0]
        factors = {}
        for group in groups:
            base, factor = observation.base.get(group, 0.0), observation.factor.get(group)
            if factor is not None and base > 0:
                wished = factor * step + disturbance / base
                factors[group] = min(max(wished, self.min_lr / base), self.max_lr / base)
        return factors


Answer = Anchored | Recursive


def answer_of(settings: Mapping[str, object]) -> Answer:
    """Return the meaning that a policy file names.

    Raises:
        ValueError: if there is no such kind, or it has no such settings.
    """
    kinds: dict[object, type[Answer]] = {"anchored": Anchored, "recursive": Recursive}
    kind = kinds.get(settings.get("kind"))
    if kind is None:
        raise ValueError(f"its answers are of the unknown kind {settings.get('kind')!r}")
    try:
        return kind(**settings)  # type: ignore[arg-type]
    except TypeError as error:
        raise ValueError(f"its answers have unknown settings: {error}") from error


def _within_one(value: float) -> float:
    # NaN stays: whoever takes the answer must see that it is none.
    return value if math.isnan(value) else min(1.0, max(-1.0, value))
