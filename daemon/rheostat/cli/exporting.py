"""Step rows into CSV or Parquet, bit for bit."""

import csv
import struct
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import typer

from rheostat.errors import RheostatError
from rheostat.runs.records import StepRows

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


def export_steps(batches: Iterable[StepRows], file: Path, *, with_timing: bool) -> int:
    """Write one row per step and return their number.

    The file appears when it is whole: an interrupted export leaves none, or the one before.

    Args:
        batches: the run's steps in order.
        file: where they go; its suffix chooses the format.
        with_timing: whether to add the duration of each step, which no two runs share.

    Raises:
        RheostatError: if the file cannot be written.
    """
    rows = _rows(batches, with_timing)
    first = next(rows, None)
    header = list(first) if first else list(_fixed_columns(with_timing))
    counted = _Counted(() if first is None else (first,), rows)
    try:
        _write(file, header, counted)
    except OSError as error:
        raise RheostatError(f"{file} cannot be written: {error.strerror or error}") from error
    return counted.count


class _Counted:
    """Rows, counted as they go by."""

    def __init__(self, *parts: Iterable[Row]) -> None:
        self.count = 0
        self._parts = parts

    def __iter__(self) -> Iterator[Row]:
        for part in self._parts:
            for row in part:
                self.count += 1
                yield row


def _rows(batches: Iterable[StepRows], with_timing: bool) -> Iterator[Row]:
    """Yield a row per step, each once the validation that may follow it has been read."""
    validations: dict[int, Row] = {}
    held: Row | None = None
    for batch in batches:
        for column in ("validation_loss", "validation_accuracy"):
            for finished, value in getattr(batch, column).items():
                validations.setdefault(finished - 1, {})[column] = value
        for row in _batch_rows(batch, with_timing):
            if held is not None:
                yield held | validations.pop(_step(held), {})
            held = row
    if held is not None:
        yield held | validations.pop(_step(held), {})


def _batch_rows(batch: StepRows, with_timing: bool) -> Iterator[Row]:
    columns = {"train_loss": _doubles(batch.train_loss)}
    for prefix, groups in (("learning_rate", batch.learning_rate), ("momentum", batch.momentum)):
        columns |= {f"{prefix}.{group}": _doubles(values) for group, values in groups.items()}
    durations = _doubles(batch.duration)
    for index in range(batch.count):
        step = batch.first_step + index
        row: Row = {"step": step}
        row |= {name: values[index] for name, values in columns.items()}
        row["gradient_norm"] = batch.gradient_norm.get(step)
        row["validation_loss"] = row["validation_accuracy"] = None
        if with_timing:
            row["duration_seconds"] = durations[index]
        yield row


def _fixed_columns(with_timing: bool) -> Iterator[str]:
    """Yield the columns of a run that has not finished a step."""
    yield from ("step", "train_loss", "gradient_norm", "validation_loss", "validation_accuracy")
    if with_timing:
        yield "duration_seconds"


def _step(row: Row) -> int:
    return int(row["step"] or 0)


def _doubles(packed: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{len(packed) // 8}d", packed)


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
        writer = csv.DictWriter(stream, header, lineterminator="\n")
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
