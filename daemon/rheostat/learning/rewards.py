"""What an agent is paid for."""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Literal, Protocol

from rheostat.learning.child import Child
from rheostat.spec.models import Spec

_SMALLEST = 1e-12
_NOTHING: Mapping[str, float] = {}


class Reward(Protocol):
    """The pay of one episode, window by window."""

    def begin(self, validation_loss: float) -> None:
        """Take the validation loss after the first window, which nobody is paid for."""
        ...

    def pay(self, validation_loss: float) -> float:
        """Return what a window earns, by the validation loss after it."""
        ...

    def fine(self, windows_left: int) -> float:
        """Return what divergence earns, with so many windows left to train."""
        ...


class NegativeLoss:
    """The reward of Xu et al. (arXiv 1909.09712): minus the validation loss, at each window.

    An episode that diverges pays for every window it leaves out as well, at the highest loss it has
    shown; else to end early would be the cheapest way.
    """

    def __init__(self) -> None:
        self._highest = 0.0

    def begin(self, validation_loss: float) -> None:
        """See `Reward`."""
        self._highest = validation_loss

    def pay(self, validation_loss: float) -> float:
        """See `Reward`."""
        self._highest = max(self._highest, validation_loss)
        return -validation_loss

    def fine(self, windows_left: int) -> float:
        """See `Reward`."""
        return -self._highest * (windows_left + 1)


class Improvement:
    """How much better than the base run: with the validation losses L of an episode and B of the
    run with the same seed whose factors stay 1,

        r_t = log(B_t / L_t) - log(B_(t-1) / L_(t-1))

    The sum is log(B / L) at the end, which is what counts; each window is paid for its part of it.
    An agent that leaves the schedule alone earns exactly 0. Divergence makes the sum `-penalty`.

    Args:
        base: validation losses of the base run, the first after its first window; or its final one
            alone, for an episode that is paid once, at its end, and of whose beginning nobody told.
        penalty: 0 or greater.
    """

    def __init__(self, base: Sequence[float], penalty: float) -> None:
        self.improvement = 0.0
        """log(B / L) by now."""
        self._base = base
        self._penalty = penalty
        self._window = 0
        self._earned = 0.0

    def begin(self, validation_loss: float) -> None:
        """See `Reward`."""
        self.improvement = self._earned = self._beside(validation_loss)

    def pay(self, validation_loss: float) -> float:
        """See `Reward`."""
        self._window += 1
        self.improvement = self._beside(validation_loss)
        earned, self._earned = self.improvement - self._earned, self.improvement
        return earned

    def fine(self, windows_left: int) -> float:
        """See `Reward`."""
        return -self._penalty - self._earned

    def _beside(self, validation_loss: float) -> float:
        # A base run that diverged stands at the last loss it had.
        base = self._base[min(self._window, len(self._base) - 1)]
        return _log(base) - _log(validation_loss)


class BaseRuns:
    """The validation losses of runs that nobody touches, each trained once in a process.

    Args:
        every: steps of a window.
        divergence_ratio: as in `Child`.
        validates: as in `Child`.
    """

    def __init__(
        self,
        every: int,
        divergence_ratio: float,
        validates: Literal["windows", "end"] = "windows",
    ) -> None:
        self._settings = (every, divergence_ratio, validates)

    def losses(self, spec: Spec) -> tuple[float, ...]:
        """Return the validation losses of a run after each of its windows, at least one.

        Where it is validated once, at its end, that is what the last one is; the others are not.
        """
        return _losses(spec.model_dump_json(), *self._settings)


@cache
def _losses(
    document: str, every: int, divergence_ratio: float, validates: Literal["windows", "end"]
) -> tuple[float, ...]:
    child = Child(
        Spec.model_validate_json(document),
        every=every,
        validates=validates,
        divergence_ratio=divergence_ratio,
    )
    child.begin()
    losses = [child.validation_loss]
    while not child.is_over:
        child.advance(_NOTHING)
        losses.append(child.validation_loss)
    return tuple(losses)


def _log(loss: float) -> float:
    return math.log(max(loss, _SMALLEST))
