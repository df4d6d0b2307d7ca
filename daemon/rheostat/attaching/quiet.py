"""Steps at which nothing happens but the script's own schedule: most of them."""

import math

from rheostat.attaching.scripted import ScriptedGroups
from rheostat.steering.steering import Steering


class Quiet:
    """Says the LRs of such steps without asking steering, which catches up when something happens.

    At a short step steering costs more in cold caches than in work. While no policy is there, no
    factor or override moves, waits or expires, and no guardrail remembers or binds, the LR of a
    group is the script's times a gain that stands still: the product, in the same order, that
    steering would make.

    Args:
        steering: of the run.
        script: what the script wants.
    """

    def __init__(self, steering: Steering, script: ScriptedGroups) -> None:
        self._steering = steering
        self._script = script
        self._terms: list[tuple[float, float, float]] | None = None
        self._is_neutral = False
        """Whether all gains are 1."""
        self._skipped: tuple[int, list[float]] | None = None

    def pass_over(self, step: int, learning_rates: list[float]) -> list[float] | None:
        """Return the LRs of a step at which nothing happens; None where steering must be asked.

        Args:
            step: index of the step about to run.
            learning_rates: what the script wants; the very list is returned where nobody wants
                anything else.
        """
        terms = self._terms
        if terms is None:
            return None
        rates = learning_rates
        if not self._is_neutral:
            rates = [lr * gain for lr, (gain, _, _) in zip(learning_rates, terms, strict=True)]
        for lr, (_, low, high) in zip(rates, terms, strict=True):
            if not low <= lr <= high:
                return None
        self._skipped = (step, learning_rates)
        return rates

    def catch_up(self) -> None:
        """Bring steering to the newest step, as if it had been asked at every one."""
        if self._skipped is not None:
            (step, learning_rates), self._skipped = self._skipped, None
            self._script.take(step, learning_rates)
            self._steering.advance(step, None)
            self._steering.settle()

    def look(self) -> None:
        """See, at a settled boundary, whether the steps to come are such."""
        steering = self._steering
        is_quiet = (
            not steering.roster.policies
            and not steering.watch.is_bent
            and not steering.awaits_something
            and all(self._script.is_still(group) for group in steering.groups)
        )
        if not is_quiet:
            self._terms = None
            return
        self._terms = [
            # One that climbs higher than ever lifts its bound, which steering does.
            (group.gain, group.guardrails.min_lr, min(group.guardrails.max_lr, peak * group.gain))
            for group, peak in zip(steering.groups, self._script.peaks, strict=True)
            if math.isfinite(group.guardrails.max_lr)
        ]
        self._is_neutral = all(gain == 1.0 for gain, _, _ in self._terms)
        if len(self._terms) < len(steering.groups):
            self._terms = None
