"""The last word on every LR: rules that bind schedules, policies and operators alike."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rheostat.spec.models import BoundsSpec
from rheostat.steering.rules import (
    Bounds,
    MaxDrift,
    MaxRatioPerStep,
    MaxRatioPerWindow,
    RatioToBase,
    Rule,
)

FINITE = "finite"
MIN_LR = "min_lr"
MAX_LR = "max_lr"
MIN_RATIO_TO_BASE = "min_ratio_to_base"
MAX_RATIO_TO_BASE = "max_ratio_to_base"
COOL_DOWN_STEPS = "cool_down_steps"

DEFAULT_HEADROOM = 100.0
"""Default `max_lr` over the schedule's own peak: above any wish, below a slip of the hand."""
_PEAK_SAMPLES = 4096


class Guardrails:
    """The rules of one group, in their order.

    Each rule allows an interval. A later one chooses within what the earlier ones allow, and where
    the two have nothing in common, what is nearest to it: it never undoes them.
    """

    def __init__(
        self, min_lr: float, max_lr: float, rules: Sequence[Rule] = (), cool_down_steps: int = 0
    ) -> None:
        self.min_lr = min_lr
        self.max_lr = max_lr
        self.cool_down_steps = cool_down_steps
        """Steps after a change in which no operator or policy may make another."""
        self.remembers = bool(rules)
        """Whether there are rules beyond the absolute bounds, which `note` must be told."""
        self._relative = tuple(rules)
        self._rules: tuple[Rule, ...] = ()
        self.lift(max_lr)

    def lift(self, max_lr: float) -> None:
        """Let an LR be as high as this; for a schedule whose peak shows as it goes."""
        self.max_lr = max_lr
        absolute = (Bounds(MIN_LR, self.min_lr, math.inf), Bounds(MAX_LR, 0.0, max_lr))
        self._rules = (*absolute, *self._relative)

    def bound(self, lr: float) -> tuple[float, tuple[str, ...]]:
        """Return a finite LR brought within the absolute bounds, and the rule that did it."""
        if lr < self.min_lr:
            return self.min_lr, (MIN_LR,)
        if lr > self.max_lr:
            return self.max_lr, (MAX_LR,)
        return lr, ()

    def apply(
        self, wanted: float, base: float, previous: float, held: bool
    ) -> tuple[float, tuple[str, ...]]:
        """Return the LR that may reach the optimizer, and the rules that bent it.

        Args:
            wanted: the composed LR.
            base: the schedule's LR at this step.
            previous: the LR in the optimizer at the step before; NaN before the first step.
            held: whether an operator holds the group.
        """
        lr, touched = wanted, []
        if not math.isfinite(lr):
            lr = previous if math.isfinite(previous) else self.min_lr
            touched.append(FINITE)
        low, high = -math.inf, math.inf
        for rule in self._rules:
            least, most = rule.interval(base, held)
            low, high = max(low, min(least, high)), min(high, max(most, low))
            bent = min(max(lr, low), high)
            if bent != lr:
                lr = bent
                touched.append(rule.name)
        return lr, tuple(touched)

    def note(self, lr: float, base: float, held: bool) -> None:
        """Tell the rules what a step really used."""
        for rule in self._rules:
            rule.note(lr, base, held)

    def memory(self) -> dict[str, Any]:
        """Return what each rule that has a memory remembers, by its name, as plain data."""
        memories = {rule.name: rule.memory() for rule in self._rules}
        return {name: memory for name, memory in memories.items() if memory is not None}

    def recall(self, memories: Mapping[str, Any]) -> None:
        """Let the rules remember what `memory` returned; those that it does not name begin."""
        for rule in self._rules:
            if rule.name in memories:
                rule.recall(memories[rule.name])


def guardrails_of(
    spec: BoundsSpec, learning_rate: Callable[[int], float], steps: int
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
    rules: list[Rule] = []
    if spec.min_ratio_to_base is not None:
        rules.append(RatioToBase(MIN_RATIO_TO_BASE, spec.min_ratio_to_base, math.inf))
    if spec.max_ratio_to_base is not None:
        rules.append(RatioToBase(MAX_RATIO_TO_BASE, 0.0, spec.max_ratio_to_base))
    if spec.max_ratio_per_step is not None:
        rules.append(MaxRatioPerStep(spec.max_ratio_per_step))
    if spec.max_ratio_per_window is not None:
        window = spec.max_ratio_per_window
        rules.append(MaxRatioPerWindow(window.ratio, window.steps))
    if spec.max_drift is not None:
        rules.append(MaxDrift(spec.max_drift))
    return Guardrails(spec.min_lr or 0.0, max_lr, rules, spec.cool_down_steps or 0)
