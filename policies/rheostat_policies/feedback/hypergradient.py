"""Raise the LR while successive gradients agree, lower it while they oppose each other."""

import math
from typing import Any

from rheostat_policies.api import KEEP, Action, Observation, RunInfo
from rheostat_policies.feedback.bounds import Bounds


class Hypergradient:
    """Move the factor by hypergradient descent on the LR, in its multiplicative form.

    Observes `gradient_alignment`, the cosine c between the gradients of two successive steps, at
    every step. The derivative of the loss by the LR that led to it is minus the product of the two
    gradients (for SGD), so descending along it, normalized (Baydin et al., arXiv 1703.04782), is

        f(t) = f(t-1) * (1 + beta * c(t))

    The product of `every` steps is collected and applied at once, as one change with one reason
    instead of a change at every step. The multiplicative form cannot make the LR negative, as the
    additive one has been seen to do.

    For SGD without momentum it is the derivative; for momentum and Adam, whose update is not the
    gradient, it is a sign of the same thing. Gradients of small batches are nearly orthogonal, so
    there c is noise around a small value and the factor wanders. It minimizes the *next* loss,
    which wants a lower LR than the rest of the run does: keep `min_factor` near 1 or `beta` small,
    and do not use it together with `adalrs`. Measuring costs a copy of the gradient and two passes
    over it at every step.

    Args:
        beta: step on the logarithm of the LR, between 0 and 1.
        every: steps collected into one change, >= 1.
        min_factor: smallest factor, greater than 0 and at most 1.
        max_factor: largest factor, at least 1.

    Raises:
        ValueError: if an argument is out of its range.
    """

    observes = ("gradient_alignment",)

    def __init__(
        self,
        *,
        beta: float = 0.01,
        every: int = 20,
        min_factor: float = 0.1,
        max_factor: float = 10.0,
    ) -> None:
        if not 0 < beta < 1:
            raise ValueError(f"beta={beta} must be between 0 and 1")
        if every < 1:
            raise ValueError(f"every={every} must be at least 1")
        self.beta = beta
        self.every = every
        self.bounds = Bounds(min_factor, max_factor)

    def initial_state(self, run: RunInfo) -> dict[str, Any]:
        """Start with nothing collected."""
        return {"product": 1.0, "seen": 0}

    def decide(
        self, state: dict[str, Any], observation: Observation
    ) -> tuple[Action, dict[str, Any]]:
        """Collect one cosine; apply the product of a full collection."""
        cosine = observation.gradient_alignment
        if cosine is None or not math.isfinite(cosine):
            return KEEP, state
        product = state["product"] * (1 + self.beta * min(1.0, max(-1.0, cosine)))
        seen = state["seen"] + 1
        if seen < self.every:
            return KEEP, {"product": product, "seen": seen}

        present = min(observation.factor.values(), default=1.0)
        wanted = self.bounds.clamp(present * product)
        agreement = "agreed" if product > 1 else "opposed each other"
        reason = f"gradients {agreement} over {seen} steps: LR x {product:.4g}"
        action = KEEP if wanted == present else Action(factor=wanted, reason=reason)
        return action, {"product": 1.0, "seen": 0}
