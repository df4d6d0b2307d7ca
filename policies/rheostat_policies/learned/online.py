"""Going on learning in a live run: a small, bounded change of a network's last layer.

With h_g what the layer before the last gives for group g, and a one beside it for the bias, the
answer is moved by a vector d that is learned, and by noise that tells what moving it is worth:

    a_g     = network(features_g) + clamp(d . h_g, -trust, trust) + noise * e_g,    e_g ~ N(0, 1)
    gain    = log(mean train loss of the window before / of this one), -1 to 1
    merit   = (gain - its moving average) / its moving deviation, -2 to 2
    d      <- d + rate * merit * mean_g(e_g h_g) / |h|,    scaled back to |d|_1 <= trust

which is REINFORCE (Williams 1992) with a baseline, on one layer. Whatever is learned, no answer is
moved further than `trust`, and the rest of the network stays as it was trained. A window's own gain
is all that a live run can tell: it knows nothing of the end, and favours an LR that falls too early
(the short-horizon bias, Wu et al., arXiv 1803.02021).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DECAY = 0.9
"""Of the moving average and deviation of the gain, per window."""
_LARGEST_GAIN = 1.0
_LARGEST_MERIT = 2.0

State = Mapping[str, Any]
"""JSON-able; replaced, never changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Online:
    """How far and how fast."""

    trust: float
    """Most that an answer can be moved, of the 1 that is its bound."""
    rate: float
    """Of one update."""
    noise: float
    """Standard deviation of what is added to an answer."""

    def begin(self, seed: int, width: int) -> State:
        """Return what is known before the first window.

        Args:
            seed: of the run; the noise of each window follows from it.
            width: of the layer before the last.
        """
        return {
            "seed": seed,
            "window": 0,
            "change": [0.0] * (width + 1),
            "tried": None,
            "average": None,
            "square": 0.0,
        }

    def learn(self, state: State, before: float | None, loss: float | None) -> State:
        """Return what is known after a window.

        Args:
            state: before it.
            before: mean train loss of the window before; None if there was none.
            loss: mean train loss of the window that ended.
        """
        gain = _gain(before, loss)
        if gain is None or state["tried"] is None:
            return state
        average = gain if state["average"] is None else state["average"]
        ahead = gain - average
        square = _DECAY * state["square"] + (1 - _DECAY) * ahead * ahead
        merit = ahead / math.sqrt(square) if square > 0 else 0.0
        merit = min(_LARGEST_MERIT, max(-_LARGEST_MERIT, merit))
        change = np.array(state["change"]) + self.rate * merit * np.array(state["tried"])
        size = float(np.abs(change).sum())
        if size > self.trust:
            change *= self.trust / size
        return {
            **state,
            "change": change.tolist(),
            "average": average + (1 - _DECAY) * ahead,
            "square": square,
        }

    def move(
        self, state: State, outputs: Sequence[Sequence[float]], hidden: NDArray[np.float32]
    ) -> tuple[list[list[float]], State]:
        """Return answers that are moved by what was learned and by noise, and what was tried.

        Args:
            state: what is known.
            outputs: of the network, (groups, 1).
            hidden: of the layer before the last, (groups, width).
        """
        random = np.random.default_rng([state["seed"], state["window"]])
        drawn = random.standard_normal(len(outputs))
        inputs = np.column_stack([hidden.astype(np.float64), np.ones(len(outputs))])
        learned = np.clip(inputs @ np.array(state["change"]), -self.trust, self.trust)
        moved = np.array(outputs)[:, 0] + learned + self.noise * drawn
        tried = (drawn[:, None] * inputs).mean(axis=0) / math.sqrt(inputs.shape[1])
        known = {**state, "window": state["window"] + 1, "tried": tried.tolist()}
        return [[float(answer)] for answer in moved], known


def online_of(*, trust: float, rate: float, noise: float) -> Online:
    """Return the way to go on learning.

    Raises:
        ValueError: if an argument is out of its range; names it.
    """
    if not 0 < trust <= 1:
        raise ValueError(f"trust={trust} must be between 0 and 1, 0 excluded")
    if not 0 < rate <= 1:
        raise ValueError(f"rate={rate} must be between 0 and 1, 0 excluded")
    if not 0 < noise <= 1:
        raise ValueError(f"noise={noise} must be between 0 and 1, 0 excluded: it is what tells")
    return Online(trust=trust, rate=rate, noise=noise)


def _gain(before: float | None, loss: float | None) -> float | None:
    # Where a loss may be negative, or is none, a ratio says nothing.
    if before is None or loss is None or not (0 < before < math.inf and 0 < loss < math.inf):
        return None
    return min(_LARGEST_GAIN, max(-_LARGEST_GAIN, math.log(before) - math.log(loss)))
