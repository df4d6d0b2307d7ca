"""Keep the change of a model's predictions within a band."""

from typing import Any

from rheostat_policies.api import KEEP, Action, Observation, RunInfo
from rheostat_policies.feedback.bounds import Bounds


class KLBand:
    """Lower the LR while predictions change too fast, raise it while they change too slowly.

    Observes `prediction_kl` at each validation: how far the predicted classes have moved since the
    validation before. With c = `ratio`,

        KL > band * kl_target:  factor / c;    KL < kl_target / band:  factor * c

    within `min_factor` and `max_factor`. Source: the adaptive LR of PPO implementations (rl_games,
    rsl_rl, torchrl's KLAdaptiveLR: c = 1.5, band = 2), where the KL is that of the policy between
    two updates. Here it is that of a classifier between two validations, so `kl_target` belongs to
    one `evaluate.every`: look at a few values first, by a run with this policy in shadow.

    Not for models whose outputs are not logits of classes: they have no such KL and it never acts.
    Not with a schedule whose decay should be kept: near the end of training predictions settle and
    it would raise the LR again, up to `max_factor`.

    Args:
        kl_target: divergence in nats that is just right, > 0.
        band: how many times too much or too little is let pass, > 1.
        ratio: what the factor is multiplied or divided by, > 1.
        min_factor: smallest factor, greater than 0 and at most 1.
        max_factor: largest factor, at least 1.

    Raises:
        ValueError: if an argument is out of its range.
    """

    observes = ("prediction_kl",)

    def __init__(
        self,
        *,
        kl_target: float = 0.01,
        band: float = 2.0,
        ratio: float = 1.5,
        min_factor: float = 0.1,
        max_factor: float = 1.0,
    ) -> None:
        if not 0 < kl_target < float("inf"):
            raise ValueError(f"kl_target={kl_target} must be greater than 0 and finite")
        for name, value in (("band", band), ("ratio", ratio)):
            if not 1 < value < float("inf"):
                raise ValueError(f"{name}={value} must be greater than 1 and finite")
        self.bounds = Bounds(min_factor, max_factor)
        self.kl_target = kl_target
        self.band = band
        self.ratio = ratio

    def initial_state(self, run: RunInfo) -> dict[str, Any]:
        """Start with nothing seen."""
        return {"validation_step": None}

    def decide(
        self, state: dict[str, Any], observation: Observation
    ) -> tuple[Action, dict[str, Any]]:
        """Look at a divergence that arrives, and move the factors where it is out of the band."""
        kl, seen = observation.prediction_kl, observation.validation_step
        if kl is None or seen == state["validation_step"]:
            return KEEP, state
        state = {"validation_step": seen}
        if kl > self.band * self.kl_target:
            scale, where = 1.0 / self.ratio, "over"
        elif kl < self.kl_target / self.band:
            scale, where = self.ratio, "under"
        else:
            return KEEP, state
        wanted = {
            group: self.bounds.clamp(factor * scale) for group, factor in observation.factor.items()
        }
        moved = {group: one for group, one in wanted.items() if one != observation.factor[group]}
        if not moved:
            return KEEP, state
        reason = f"predictions moved by KL {kl:.3g}, {where} the band around {self.kl_target:g}"
        return Action(factor=moved, reason=reason), state
