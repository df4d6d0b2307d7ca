"""The script's own LR as a schedule: known up to the step begun, and no further."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rheostat.steering.group import Group
from rheostat.steering.guardrails import DEFAULT_HEADROOM
from rheostat.steering.motion import Motion
from rheostat.steering.operator import Term
from rheostat.steering.records import Verb
from rheostat_policies import Curve


class ScriptedCurve:
    """What the script wants one group's LR to be.

    Asked for a step to come, which only the script knows, it gives the LR of the step begun.

    Args:
        lr: the LR before the first step.
        peak: the highest that is known to come.
    """

    def __init__(self, lr: float, peak: float) -> None:
        self.step = 0
        self.value = lr
        self.before = lr
        self.peak = peak

    def take(self, step: int, lr: float) -> None:
        """Take the LR of the step begun; again where the run has gone back."""
        if step != self.step:
            self.step, self.before = step, self.value
        self.value = lr

    def as_curve(self) -> Curve:
        """Return it for steering."""

        # Not a bound method: a dry run copies its groups deeply, and a function stays one.
        def learning_rate(step: int) -> float:
            return self.before if step < self.step else self.value

        return Curve(learning_rate=learning_rate)


class ScriptedGroups:
    """The curves of all groups, and what follows from their being known only as they go.

    The default upper bound keeps its distance to the highest LR that the script has asked for. A
    ramp arrives at its LR at its last step wherever the script's LR is then: of a schedule that is
    known beforehand its length says how far it goes; here it is aimed anew at each step.

    Args:
        curves: one per group.
        groups: theirs, in the same order.
        has_own_bound: whether somebody has said what the largest LR is, by group.
    """

    def __init__(
        self,
        curves: Sequence[ScriptedCurve],
        groups: Sequence[Group],
        has_own_bound: Sequence[bool],
    ) -> None:
        self._curves = tuple(curves)
        self._groups = tuple(groups)
        self._has_own_bound = tuple(has_own_bound)

    @property
    def peaks(self) -> list[float]:
        """The highest LR of each group that is known of."""
        return [curve.peak for curve in self._curves]

    def is_still(self, group: Group) -> bool:
        """Whether nothing but the script moves the LR of a group."""
        segment = group.segment
        is_own = segment.schedule is None and not segment.rewarmings
        is_free = group.operator.hold is None and not group.guardrails.remembers
        return is_own and is_free and not group.is_moving and not group.touched

    def recall(self, step: int) -> None:
        """Take for the script's LRs of a finished step what its groups remember of it."""
        for curve, group in zip(self._curves, self._groups, strict=True):
            curve.step, curve.value, curve.before = step, group.base, group.base

    @contextmanager
    def as_if(self, step: int, learning_rates: Sequence[float]) -> Iterator[None]:
        """Have, in the block, the script's LRs of a step that is none of the run's."""
        kept = [(curve.step, curve.value, curve.before) for curve in self._curves]
        for curve, lr in zip(self._curves, learning_rates, strict=True):
            curve.step, curve.value = step, lr
        try:
            yield
        finally:
            for curve, (at, value, before) in zip(self._curves, kept, strict=True):
                curve.step, curve.value, curve.before = at, value, before

    def take(self, step: int, learning_rates: Sequence[float]) -> None:
        """Take the script's LRs of the step about to begin, one per group."""
        for index, curve in enumerate(self._curves):
            lr = learning_rates[index]
            if self._groups[index].operator.is_moving:
                aim_ramps(self._groups[index], curve.value, lr)
            curve.take(step, lr)
            if curve.peak < lr < math.inf:
                curve.peak = lr
                if not self._has_own_bound[index]:
                    self._groups[index].guardrails.lift(lr * DEFAULT_HEADROOM)


def aim_ramps(group: Group, before: float, now: float) -> None:
    """Let the ramps of a group end where they are to, though the script's LR has moved.

    Args:
        group: whose base is still that of the step before.
        before: the script's LR then.
        now: its LR of the step about to begin.
    """
    if group.segment.schedule is not None or before == now or not (before > 0 and now > 0):
        return  # another schedule has taken the script's place, or nothing is to be done
    group.operator.terms = [
        _aimed(term, before / now) if term.verb is Verb.RAMP else term
        for term in group.operator.terms
    ]


def _aimed(term: Term, ratio: float) -> Term:
    motion = term.motion
    end = motion.end * ratio
    if not (end > 0 and math.isfinite(end)):
        return term
    return Term(
        verb=term.verb,
        motion=Motion(motion.start, end, motion.first_step, motion.steps),
        revision=term.revision,
        expires_at=term.expires_at,
    )
