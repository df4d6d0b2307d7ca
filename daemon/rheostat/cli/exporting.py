"""Step rows into CSV or Parquet, bit for bit."""

import csv
import math
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import typer

from rheostat.cli.columns import doubles, states_of
from rheostat.errors import RheostatError
from rheostat.runs.records import StepRows
from rheostat.steering.records import GroupState

Cell = int | float | None
Row = dict[str, Cell]

_SUFFIXES = (".csv", ".parquet")
_ROWS_AT_ONCE = 65_536


def check_suffix(file: Path) -> None:
    """Refuse a file whose suffix names no format.

    Raises:
        typer.BadParameter: if it is neither .csv nor .parquet.
    """
    if file.suffix not in _SUFFIXES:
        raise typer.BadParameter(f"{file} must end in {' or '.join(_SUFFIXES)}")


def export_steps(read: Callable[[], Iterable[StepRows]], file: Path, *, with_timing: bool) -> int:
    """Write one row per step and return their number.

    The steps are read twice: a column may begin in the middle of the run, with a policy that was
    attached or a schedule that moves a momentum, and the first line of a file names them all.
    The file appears when it is whole: an interrupted export leaves none, or the one before.

    Args:
        read: returns the run's steps in order, as often as it is asked.
        file: where they go; its suffix chooses the format.
        with_timing: whether to add the duration of each step, which no two runs share.

    Raises:
        RheostatError: if the file cannot be written.
    """
    count, header = 0, dict.fromkeys(_fixed_columns())
    for batch in read():
        count += batch.count
        header |= dict.fromkeys(_columns(batch))
    columns = sorted(header, key=rank)
    if with_timing:
        columns.append("duration_seconds")
    try:
        # A run that trains on has more steps by now, and maybe more columns.
        _write(file, columns, islice(rows_of(read()), count))
    except OSError as error:
        raise RheostatError(f"{file} cannot be written: {error.strerror or error}") from error
    return count


_ORDER = (
    "step",
    "train_loss",
    "learning_rate",
    "base",
    "factor",
    "operator",
    "hold",
    "momentum",
    "gradient_norm",
    "skipped_at_loss_scale",
    "validation_loss",
    "validation_accuracy",
)
"""Columns by the word before their first dot, in the order of a file."""


def rank(column: str) -> int:
    """Return where a column stands in a file."""
    return _ORDER.index(column.partition(".")[0])


def _fixed_columns() -> Iterator[str]:
    """Yield the columns that every file has."""
    yield from ("step", "train_loss", "gradient_norm", "validation_loss", "validation_accuracy")


def _columns(batch: StepRows) -> Iterator[str]:
    """Yield the columns of the groups in which a batch has something to say."""
    yield from _packed(batch)
    if batch.skipped_at_loss_scale:
        yield "skipped_at_loss_scale"
    for states in states_of(batch).values():
        for state in states.values():
            yield from (name for name, value in _multipliers(state).items() if value != 1.0)
            if state.hold is not None:
                yield f"hold.{state.name}"


def _packed(batch: StepRows) -> dict[str, bytes]:
    """Return the columns that come packed, by name."""
    kinds = {"learning_rate": batch.learning_rate, "base": batch.base, "momentum": batch.momentum}
    return {
        f"{kind}.{group}": values
        for kind, groups in kinds.items()
        for group, values in groups.items()
    }


def _multipliers(state: GroupState) -> Row:
    """Return what the base of a group is multiplied by."""
    factors = {f"factor.{policy}.{state.name}": one for policy, one in state.factors.items()}
    return {**factors, f"operator.{state.name}": state.operator}


def rows_of(batches: Iterable[StepRows]) -> Iterator[Row]:
    """Yield a row per step, each once the validation that may follow it has been read."""
    validations: dict[int, Row] = {}
    held: Row | None = None
    for batch in batches:
        for column in ("validation_loss", "validation_accuracy"):
            for finished, value in getattr(batch, column).items():
                validations.setdefault(finished - 1, {})[column] = value
        for row in _batch_rows(batch):
            if held is not None:
                yield held | validations.pop(_step(held), {})
            held = row
    if held is not None:
        yield held | validations.pop(_step(held), {})


def _batch_rows(batch: StepRows) -> Iterator[Row]:
    columns = {"train_loss": doubles(batch.train_loss), "duration_seconds": doubles(batch.duration)}
    columns |= {name: doubles(values) for name, values in _packed(batch).items()}
    changed = states_of(batch)
    parts: Row = {}
    for index in range(batch.count):
        step = batch.first_step + index
        if step in changed:
            parts = {}
            for state in changed[step].values():
                parts |= {**_multipliers(state), f"hold.{state.name}": state.hold}
        row: Row = {"step": step, "gradient_norm": batch.gradient_norm.get(step)}
        if step in batch.skipped_at_loss_scale:
            row["skipped_at_loss_scale"] = batch.skipped_at_loss_scale[step]
        # A momentum that no schedule moves at this step is NaN, and here empty.
        row |= {name: _told(values[index]) for name, values in columns.items()}
        yield row | parts


def _told(value: float) -> float | None:
    return None if math.isnan(value) else value


def _step(row: Row) -> int:
    return int(row["step"] or 0)


def _write(file: Path, header: list[str], rows: Iterable[Row]) -> None:
    """Write rows beside a file, and put them in its place once they are all there."""
    partial = file.with_name(f".{file.name}.partial")
    try:
        if file.suffix == ".csv":
            _write_csv(partial, header, rows)
        else:
            _write_parquet(partial, header, rows)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def _write_csv(file: Path, header: list[str], rows: Iterable[Row]) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        # It writes floats by repr(), so that every bit survives.
        writer = csv.DictWriter(stream, header, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _write_parquet(file: Path, header: list[str], rows: Iterable[Row]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    types = [(name, pa.int64() if name == "step" else pa.float64()) for name in header]
    remaining = iter(rows)
    with parquet.ParquetWriter(file, pa.schema(types)) as writer:
        while chunk := list(islice(remaining, _ROWS_AT_ONCE)):
            writer.write_table(pa.Table.from_pylist(chunk, pa.schema(types)))
