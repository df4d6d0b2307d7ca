"""What a picture of a run shows: its losses and LRs by step, and what was decided when."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rheostat.runs.records import StepRows
from rheostat.steering.records import Decision

Doubles = npt.NDArray[np.float64]

MAX_BUCKETS = 1500
"""Of a line: more than a picture has pixels for, few enough for a small SVG."""


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """Values by step."""

    steps: Doubles
    """(N,) increasing."""
    values: Doubles
    """(N,); NaN where there is none."""

    def thinned(self, buckets: int = MAX_BUCKETS) -> "Line":
        """Return at most three points a bucket: its first, its lowest and its highest.

        So a spike of one step is as high in the picture as it was.
        """
        if len(self.steps) <= 3 * buckets:
            return self
        kept: set[int] = {len(self.steps) - 1}
        for part in np.array_split(np.arange(len(self.steps)), buckets):
            values = self.values[part]
            kept.add(int(part[0]))
            if not np.isnan(values).all():
                kept |= {int(part[np.nanargmin(values)]), int(part[np.nanargmax(values)])}
        chosen = sorted(kept)
        return Line(self.steps[chosen], self.values[chosen])

    def averaged(self, window: int) -> "Line":
        """Return the mean of each value and up to `window` - 1 before it."""
        sums = np.concatenate(([0.0], np.cumsum(self.values)))
        ends = np.arange(1, len(self.values) + 1)
        starts = np.maximum(ends - window, 0)
        return Line(self.steps, (sums[ends] - sums[starts]) / (ends - starts))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunCurves:
    """One run, ready to be drawn."""

    name: str
    train_loss: Line
    validation_loss: Line
    """By number of finished steps."""
    learning_rate: Mapping[str, Line]
    """By group."""
    decisions: tuple[Decision, ...]


def curves_of(name: str, batches: Iterable[StepRows], decisions: Sequence[Decision]) -> RunCurves:
    """Read a run's steps into curves.

    Args:
        name: of the run.
        batches: its steps, in order.
        decisions: its history.
    """
    steps: list[Doubles] = []
    losses: list[Doubles] = []
    rates: dict[str, list[Doubles]] = {}
    validations: dict[int, float] = {}
    for batch in batches:
        steps.append(np.arange(batch.first_step, batch.first_step + batch.count, dtype=np.float64))
        losses.append(np.frombuffer(batch.train_loss, "<f8"))
        for group, packed in batch.learning_rate.items():
            rates.setdefault(group, []).append(np.frombuffer(packed, "<f8"))
        validations |= batch.validation_loss
    along = _joined(steps)
    return RunCurves(
        name=name,
        train_loss=Line(along, _joined(losses)),
        validation_loss=Line(
            np.array(list(validations), dtype=np.float64),
            np.array(list(validations.values()), dtype=np.float64),
        ),
        learning_rate={group: Line(along, _joined(parts)) for group, parts in rates.items()},
        decisions=tuple(decisions),
    )


def _joined(parts: Sequence[Doubles]) -> Doubles:
    return np.concatenate(parts) if parts else np.empty(0)
