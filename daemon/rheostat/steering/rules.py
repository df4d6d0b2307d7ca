"""The guardrails that remember or compare: each allows an interval of LRs at a step.

The movement rules measure r = LR / base, so that a schedule's own jumps (restarts, milestones, a
warm-up from zero) are never bent. While an operator holds a group the schedule has no say, so base
stands still for them at what it was when the hold began.
"""

import math
from collections import deque
from typing import Any, Protocol

FREE = (0.0, math.inf)
"""The interval of a rule that has nothing to say."""


class Rule(Protocol):
    """A guardrail of one group."""

    name: str
    """Its key in the spec, and its name in decisions and metrics."""

    def interval(self, base: float, held: bool) -> tuple[float, float]:
        """Return the smallest and largest LR allowed at the step begun."""
        ...

    def note(self, lr: float, base: float, held: bool) -> None:
        """Take the LR that a step really used; called once per step, in order."""
        ...

    def memory(self) -> Any:
        """Return what it remembers of the steps so far, as plain data; None is nothing."""
        ...

    def recall(self, memory: Any) -> None:
        """Remember what `memory` returned."""
        ...


class _Forgetful:
    """A rule that looks at one step by itself."""

    def note(self, lr: float, base: float, held: bool) -> None:
        """Remember nothing."""

    def memory(self) -> None:
        """Return that it remembers nothing."""

    def recall(self, memory: Any) -> None:
        """Remember nothing."""


class Bounds(_Forgetful):
    """Absolute bounds."""

    def __init__(self, name: str, low: float, high: float) -> None:
        self.name = name
        self._interval = (low, high)

    def interval(self, base: float, held: bool) -> tuple[float, float]:
        """Return the bounds."""
        return self._interval


class RatioToBase(_Forgetful):
    """Bounds relative to the schedule's present LR, where that is not 0."""

    def __init__(self, name: str, low: float, high: float) -> None:
        self.name = name
        self._low, self._high = low, high

    def interval(self, base: float, held: bool) -> tuple[float, float]:
        """Return the bounds at this base."""
        return (self._low * base, self._high * base) if base > 0 else FREE


class MaxRatioPerStep:
    """Bounds the move from one step to the next."""

    name = "max_ratio_per_step"

    def __init__(self, ratio: float) -> None:
        self._ratio = ratio
        self._lr = self._base = math.nan

    def interval(self, base: float, held: bool) -> tuple[float, float]:
        """Return what one step's move allows."""
        scale = 1.0 if held or not self._base > 0 else base / self._base
        anchor = self._lr * scale
        if not (anchor > 0 and math.isfinite(anchor)):
            return FREE
        return anchor / self._ratio, anchor * self._ratio

    def note(self, lr: float, base: float, held: bool) -> None:
        """Remember the step before."""
        self._lr, self._base = lr, base

    def memory(self) -> Any:
        """Return LR and base of the step before."""
        return [self._lr, self._base]

    def recall(self, memory: Any) -> None:
        """Remember the step before."""
        self._lr, self._base = memory


class MaxRatioPerWindow:
    """Bounds the move within any window of some steps.

    Two monotonic queues keep the window's extremes, so a step costs the same for any length.
    """

    name = "max_ratio_per_window"

    def __init__(self, ratio: float, steps: int) -> None:
        self._ratio = ratio
        self._steps = steps
        self._step = 0
        self._lows: deque[tuple[int, float]] = deque()
        self._highs: deque[tuple[int, float]] = deque()
        self._reference = Reference()

    def interval(self, base: float, held: bool) -> tuple[float, float]:
        """Return what the window allows."""
        reference = self._reference.at(base, held)
        if not self._lows or not reference > 0:
            return FREE
        lowest, highest = self._lows[0][1], self._highs[0][1]
        return highest / self._ratio * reference, lowest * self._ratio * reference

    def note(self, lr: float, base: float, held: bool) -> None:
        """Move the window on by one step."""
        reference = self._reference.move(base, held)
        self._step += 1
        oldest = self._step - self._steps
        for queue in (self._lows, self._highs):
            while queue and queue[0][0] < oldest:
                queue.popleft()
        if not (reference > 0 and lr > 0):
            return
        ratio = lr / reference
        while self._lows and self._lows[-1][1] >= ratio:
            self._lows.pop()
        while self._highs and self._highs[-1][1] <= ratio:
            self._highs.pop()
        self._lows.append((self._step, ratio))
        self._highs.append((self._step, ratio))

    def memory(self) -> Any:
        """Return the window's extremes, and the reference."""
        lows, highs = [list(one) for one in self._lows], [list(one) for one in self._highs]
        return [self._step, lows, highs, self._reference.frozen]

    def recall(self, memory: Any) -> None:
        """Remember the window."""
        self._step, lows, highs, self._reference.frozen = memory
        self._lows = deque((step, ratio) for step, ratio in lows)
        self._highs = deque((step, ratio) for step, ratio in highs)


class MaxDrift:
    """Bounds the geometric mean of LR / base since the start.

    Each step's mean may lie between 1 / ratio and ratio, so a step that used less than its share
    leaves room for later ones, and a policy that creeps is stopped in the end.
    """

    name = "max_drift"

    def __init__(self, ratio: float) -> None:
        self._limit = math.log(ratio)
        self._sum = 0.0
        self._count = 0
        self._reference = Reference()

    def interval(self, base: float, held: bool) -> tuple[float, float]:
        """Return what keeps the mean within its bounds."""
        reference = self._reference.at(base, held)
        if not reference > 0:
            return FREE
        room = (self._count + 1) * self._limit
        # Beyond this the exponential is as good as free, and would overflow.
        low, high = max(-700.0, -room - self._sum), min(700.0, room - self._sum)
        return math.exp(low) * reference, math.exp(high) * reference

    def note(self, lr: float, base: float, held: bool) -> None:
        """Add a step to the mean."""
        reference = self._reference.move(base, held)
        if reference > 0 and lr > 0:
            self._sum += math.log(lr / reference)
            self._count += 1

    def memory(self) -> Any:
        """Return the mean's parts, and the reference."""
        return [self._sum, self._count, self._reference.frozen]

    def recall(self, memory: Any) -> None:
        """Remember the mean."""
        self._sum, self._count, self._reference.frozen = memory


class Reference:
    """The base that movement is measured against: the schedule's, frozen during a hold."""

    def __init__(self) -> None:
        self.frozen: float | None = None
        """The schedule's LR when the hold began; None while there is none."""

    def at(self, base: float, held: bool) -> float:
        """Return the reference of the step begun."""
        return self.frozen if held and self.frozen is not None else base

    def move(self, base: float, held: bool) -> float:
        """Return the reference of the step that has run, and freeze or thaw it."""
        reference = self.at(base, held)
        self.frozen = reference if held else None
        return reference
