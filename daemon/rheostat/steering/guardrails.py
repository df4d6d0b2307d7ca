"""The last word on every LR: rules that bind schedules, policies and operators alike."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from rheostat.spec.models import GuardrailsSpec

FINITE = "finite"
MIN_LR = "min_lr"
MAX_LR = "max_lr"
MAX_RATIO_PER_STEP = "max_ratio_per_step"
RULES = (FINITE, MIN_LR, MAX_LR, MAX_RATIO_PER_STEP)
"""Every rule's name, in the order they act."""

DEFAULT_HEADROOM = 100.0
"""Default `max_lr` over the schedule's own peak: above any wish, below a slip of the hand."""
_PEAK_SAMPLES = 4096


@dataclass(frozen=True, slots=True)
class Guardrails:
    """The bounds of one group."""

    min_lr: float
    max_lr: float
    max_ratio_per_step: float | None

    def bound(self, lr: float) -> tuple[float, tuple[str, ...]]:
        """Return a finite LR brought within the absolute bounds, and the rule that did it."""
        if lr < self.min_lr:
            return self.min_lr, (MIN_LR,)
        if lr > self.max_lr:
            return self.max_lr, (MAX_LR,)
        return lr, ()

    def apply(
        self, wanted: float, base: float, previous: float, previous_base: float, held: bool
    ) -> tuple[float, tuple[str, ...]]:
        """Return the LR that may reach the optimizer, and the rules that bent it.

        The ratio rule measures the movement of LR / base, so that a schedule's own jumps pass; a
        held group has no schedule, so there it measures the LR itself. A later rule never undoes
        an earlier one.

        Args:
            wanted: the composed LR.
            base: the schedule's LR at this step.
            previous: the LR in the optimizer at the step before; NaN before the first step.
            previous_base: the schedule's LR at the step before.
            held: whether an operator holds the group.
        """
        touched: list[str] = []
        if not math.isfinite(wanted):
            wanted = previous if math.isfinite(previous) else self.min_lr
            touched.append(FINITE)
        wanted, bounds = self.bound(wanted)
        touched += bounds
        if self.max_ratio_per_step is not None:
            scale = 1.0 if held or not previous_base > 0 else base / previous_base
            anchor = previous * scale
            if anchor > 0 and math.isfinite(anchor):
                slow = min(
                    max(wanted, anchor / self.max_ratio_per_step), anchor * self.max_ratio_per_step
                )
                slow, _ = self.bound(slow)
                if slow != wanted:
                    wanted = slow
                    touched.append(MAX_RATIO_PER_STEP)
        return wanted, tuple(touched)


def guardrails_of(
    spec: GuardrailsSpec, learning_rate: Callable[[int], float], steps: int
) -> Guardrails:
    """Make the guardrails of a group from the spec and the group's own schedule.

    Without a `max_lr` in the spec the bound is 100 times the highest LR the schedule reaches by
    itself (looked for at up to 4,096 steps spread over the run); a schedule that never rises above
    0 leaves the LR unbounded.
    """
    max_lr = spec.max_lr
    if max_lr is None:
        stride = max(1, steps // _PEAK_SAMPLES)
        samples = (learning_rate(step) for step in range(0, steps, stride))
        peak = max((lr for lr in samples if math.isfinite(lr)), default=0.0)
        max_lr = peak * DEFAULT_HEADROOM if peak > 0 else math.inf
    return Guardrails(spec.min_lr, max_lr, spec.max_ratio_per_step)
