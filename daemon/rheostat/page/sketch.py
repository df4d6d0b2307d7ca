"""A run's curves in a bounded number of buckets: what a page can draw, however long the run."""

import math
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from rheostat.runs.records import StepRows
from rheostat.runs.rows import end_of
from rheostat.steering.records import Components, GroupState

Values: TypeAlias = NDArray[np.float64]
Name: TypeAlias = tuple[str, ...]
"""Of a column: `("loss", "mean")`, `("lr", group, "max")`, `("factor", group, policy)`."""

BUCKETS = 2048
"""Most buckets of a sketch: twice the pixels that a chart is wide."""


_components = msgspec.json.Decoder(Components).decode


class Rule(Enum):
    """How the values of a column come together in one bucket."""

    MIN = "min"
    MAX = "max"
    SUM = "sum"
    LAST = "last"
    """That of the last step, a missing one too."""
    NEWEST = "newest"
    """The last one that is there."""


class Sketch:
    """Some columns of consecutive steps, each bucket `width` of them.

    Steps are added in order. Where they no longer fit, the buckets become twice as wide, so a run
    of any length is told in half to all of the buckets.

    Args:
        first: the first step.
        width: steps of a bucket, at first.
        buckets: the most there may be; even.
    """

    def __init__(self, *, first: int = 0, width: int = 1, buckets: int = BUCKETS) -> None:
        self.first = first
        self.width = width
        self.end = first
        """The first step after those added."""
        self._most = buckets
        self._columns: dict[Name, tuple[Rule, Values]] = {}

    @property
    def count(self) -> int:
        """The number of buckets that hold a step."""
        return -(-(self.end - self.first) // self.width)

    def add(self, rows: StepRows) -> None:
        """Add the steps of a batch that come after those added before."""
        since = max(self.end - rows.first_step, 0)
        if since < rows.count:
            self._add_steps(rows, since)
        for part in ("validation_loss", "validation_accuracy"):
            for steps, value in getattr(rows, part).items():
                # It stands after the last step that came before it.
                if self.first < steps <= self.end:
                    bucket = (steps - 1 - self.first) // self.width
                    self._column((part,), Rule.NEWEST)[bucket] = value
                    self._column(("validation_step",), Rule.NEWEST)[bucket] = steps

    def column(self, *name: str, since: int = 0) -> list[float]:
        """Return the values of a column from a bucket on, NaN where there are none."""
        values = self._array(*name, since=since)
        if name == ("loss", "mean"):
            with np.errstate(invalid="ignore"):
                total, count = (self._array("loss", part, since=since) for part in ("sum", "count"))
                values = total / count
        listed: list[float] = values.tolist()
        return listed

    def names(self, *prefix: str) -> list[Name]:
        """Return the columns whose name begins so, in order."""
        return sorted(name for name in self._columns if name[: len(prefix)] == prefix)

    def _array(self, *name: str, since: int) -> Values:
        if name not in self._columns:
            return np.full(max(self.count - since, 0), math.nan)
        return self._columns[name][1][since : self.count]

    def _add_steps(self, rows: StepRows, since: int) -> None:
        start, end = rows.first_step + since, end_of(rows)
        while (end - 1 - self.first) // self.width >= self._most:
            self._widen()
        buckets = (np.arange(start, end) - self.first) // self.width
        starts = np.flatnonzero(np.diff(buckets, prepend=buckets[0] - 1))
        lasts = np.append(starts[1:], len(buckets)) - 1
        places = buckets[starts]
        self.end = end

        loss = np.frombuffer(rows.train_loss, "<f8")[since:]
        self._extend(("loss",), loss, starts, places)
        known = np.isfinite(loss)
        for name, values in (("sum", np.where(known, loss, 0.0)), ("count", known.astype(float))):
            column = self._column(("loss", name), Rule.SUM)
            column[places] = np.nan_to_num(column[places]) + np.add.reduceat(values, starts)
        for group, packed in rows.learning_rate.items():
            rates = np.frombuffer(packed, "<f8")[since:]
            self._extend(("lr", group), rates, starts, places)
            self._column(("lr", group, "last"), Rule.LAST)[places] = rates[lasts]
        bases = {group: np.frombuffer(packed, "<f8")[since:] for group, packed in rows.base.items()}
        for group, base in bases.items():
            self._column(("base", group), Rule.LAST)[places] = base[lasts]
        self._add_components(rows, places, start + lasts)

    def _extend(
        self, name: Name, values: Values, starts: NDArray[np.intp], places: NDArray[np.int64]
    ) -> None:
        """Widen the envelope of a curve."""
        low = self._column((*name, "min"), Rule.MIN)
        high = self._column((*name, "max"), Rule.MAX)
        low[places] = np.fmin(low[places], np.fmin.reduceat(values, starts))
        high[places] = np.fmax(high[places], np.fmax.reduceat(values, starts))

    def _add_components(
        self, rows: StepRows, places: NDArray[np.int64], steps: NDArray[np.int64]
    ) -> None:
        """Note how the LRs came about at the last step of each bucket."""
        changes = sorted(rows.components)
        if not changes:
            return
        # Of a policy that moves its factor at each step, one record a bucket is read.
        which = np.searchsorted(changes, steps, side="right") - 1
        for index in np.unique(which):
            text = rows.components[changes[max(index, 0)]]
            for group in _components(text).groups:
                self._add_group(group, places[which == index])

    def _add_group(self, group: GroupState, places: NDArray[np.int64]) -> None:
        name = group.name
        numbers: dict[Name, float | None] = {
            ("operator", name): group.operator,
            ("hold", name): group.hold,
            ("bent", name): float(bool(group.guardrails)),
        }
        numbers |= {("factor", name, policy): value for policy, value in group.factors.items()}
        for column, value in numbers.items():
            told = math.nan if value is None else value
            self._column(column, Rule.LAST)[places] = told
        for policy, rate in group.shadows.items():
            # The schedule moves it on until something else does; a hold lets nothing through.
            at = self._column(("shadow", name, policy), Rule.LAST)
            base = self._column(("base", name), Rule.LAST)[places]
            if group.hold is not None:
                at[places] = rate
            elif group.base > 0:
                at[places] = base * (rate / group.base)
            else:
                # Of a warm-up that begins at 0 nothing can be told, but that it acts as the others.
                at[places] = base * math.prod(group.factors.values()) * group.operator

    def _column(self, name: Name, rule: Rule) -> Values:
        if name not in self._columns:
            self._columns[name] = (rule, np.full(self._most, math.nan))
        return self._columns[name][1]

    def _widen(self) -> None:
        """Make one bucket of every two."""
        half = self._most // 2
        even = self.count % 2 == 0
        for rule, values in self._columns.values():
            pairs = values.reshape(half, 2)
            joined = _joined(rule, pairs)
            if rule is Rule.LAST and not even:
                joined[self.count // 2] = values[self.count - 1]
            values[:half] = joined
            values[half:] = math.nan
        self.width *= 2


def _joined(rule: Rule, pairs: Values) -> Values:
    first, second = pairs[:, 0], pairs[:, 1]
    match rule:
        case Rule.MIN:
            return np.fmin(first, second)
        case Rule.MAX:
            return np.fmax(first, second)
        case Rule.SUM:
            return np.where(np.isnan(second), first, np.nan_to_num(first) + second)
        case Rule.LAST:
            return second.copy()
        case Rule.NEWEST:
            return np.where(np.isnan(second), first, second)


def width_for(steps: int, buckets: int) -> int:
    """Return the steps of a bucket, a power of two, with which so many steps surely fit."""
    width = 1
    while steps >= width * (buckets - 1):
        width *= 2
    return width


def told(
    sketch: Sketch, *, groups: Iterable[str], focus: str | None, since: int = 0
) -> Mapping[str, Any]:
    """Return a sketch as the page draws it, from a bucket on.

    Args:
        sketch: the whole.
        groups: those whose LRs are told.
        focus: the group whose components are told; None is none.
        since: the first bucket.
    """

    def column(*name: str) -> list[float]:
        return sketch.column(*name, since=since)

    def by_policy(kind: str) -> dict[str, list[float]]:
        return {name[2]: column(*name) for name in sketch.names(kind, focus or "")}

    return {
        "first": sketch.first + since * sketch.width,
        "width": sketch.width,
        "end": sketch.end,
        "loss": {part: column("loss", part) for part in ("mean", "min", "max")},
        "validation": {
            "step": column("validation_step"),
            "loss": column("validation_loss"),
            "accuracy": column("validation_accuracy"),
        },
        "groups": {
            group: {part: column("lr", group, part) for part in ("last", "min", "max")}
            for group in groups
        },
        "components": None
        if focus is None
        else {
            "group": focus,
            "base": column("base", focus),
            "factors": by_policy("factor"),
            "operator": column("operator", focus),
            "hold": column("hold", focus),
            "bent": column("bent", focus),
            "shadows": by_policy("shadow"),
        },
    }
