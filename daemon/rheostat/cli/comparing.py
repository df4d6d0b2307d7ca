"""Two runs beside each other, step by step, to the last bit."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest

from rheostat.cli.exporting import Cell, Row, rank, rows_of
from rheostat.runs.records import StepRows

_TIMED = "duration_seconds"
"""The one column that no two runs share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The first number in which two runs differ."""

    step: int
    column: str
    """As in an export, e.g. `train_loss` or `learning_rate.default`."""
    first: Cell
    """None where the run has no such number, or no such step."""
    second: Cell


def compare(
    first: Iterable[StepRows], second: Iterable[StepRows], *, from_step: int = 0
) -> tuple[int, Difference | None]:
    """Compare two runs in every column of an export but the durations.

    Validations are compared where both have one: a run that was stopped for a while has been
    validated once more.

    Args:
        first: steps of the one, in order.
        second: steps of the other.
        from_step: the first that is looked at.

    Returns:
        How many steps are equal, and the first difference after them, None where there is none.
    """
    equal, missing = 0, Row()
    for one, other in zip_longest(rows_of(first), rows_of(second), fillvalue=missing):
        step = (one or other)["step"]
        assert isinstance(step, int)  # every row has one
        if step < from_step:
            continue
        for column in sorted({*one, *other} - {_TIMED}, key=_rank):
            a, b = one.get(column), other.get(column)
            if column.startswith("validation_") and None in (a, b) and one and other:
                continue
            if not _is_same(a, b):
                return equal, Difference(step=step, column=column, first=a, second=b)
        equal += 1
    return equal, None


def _rank(column: str) -> tuple[bool, int, str]:
    """Put the LR before the loss: a person looks for the cause first."""
    return not column.startswith("learning_rate."), rank(column), column


def _is_same(a: Cell, b: Cell) -> bool:
    """Whether two numbers are equal to the last bit."""
    if isinstance(a, float) and isinstance(b, float):
        return struct.pack("<d", a) == struct.pack("<d", b)
    return a == b
