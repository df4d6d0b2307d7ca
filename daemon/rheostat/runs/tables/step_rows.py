"""What each finished step did, in batches, and what rollbacks have undone of it."""

import sqlite3

import msgspec

from rheostat.runs.records import StepRows
from rheostat.runs.rows import cut, end_of, merge
from rheostat.runs.tables.table import Table


class StepRowTable(Table):
    """A row for each batch of steps."""

    def append_rows(self, run: str, rows: StepRows) -> None:
        """Keep a batch of finished steps, in the place of what was kept of the same steps.

        A trainer sends again what it does not know to be durable, in batches that may be cut
        differently. A batch without steps holds the validation after the last step: it joins the
        batch of that step, and is dropped where no step was ever taken.
        """
        with self._database.transaction() as connection:
            batch: StepRows | None = rows
            if rows.count == 0:
                batch = _with_validation(connection, run, rows)
            else:
                _make_room(connection, run, rows.first_step, end_of(rows))
            if batch is not None:
                insert_rows(connection, run, batch)

    def next_row(self, run: str) -> int:
        """Return the first step after those kept; 0 where none are."""
        [step] = self._database.select(
            lambda row: int(row[0]),
            "SELECT COALESCE(MAX(last_step) + 1, 0) FROM step_rows WHERE run = ?",
            run,
        )
        return step

    def read_rows(self, run: str, after_step: int = -1, limit_batches: int = 50) -> list[StepRows]:
        """Return the batches that hold steps after a step, in step order.

        To read on, ask again after the last step of the last batch.
        """
        return self._database.select(
            _rows_of,
            "SELECT batch FROM step_rows WHERE run = ? AND last_step > ? "
            "ORDER BY last_step LIMIT ?",
            run,
            after_step,
            limit_batches,
        )

    def read_undone_rows(self, run: str, revision: int) -> list[StepRows]:
        """Return the batches of the steps that a rollback has undone, in step order."""
        return self._database.select(
            _rows_of,
            "SELECT batch FROM undone_rows WHERE run = ? AND revision = ? ORDER BY last_step",
            run,
            revision,
        )


def undo(connection: sqlite3.Connection, run: str, revision: int, to_step: int) -> None:
    """Put the rows aside that a rollback undoes, and forget what policies were late for there."""
    _make_room(connection, run, to_step, to_step)
    connection.execute(
        "INSERT INTO undone_rows SELECT run, ?, last_step, batch FROM step_rows "
        "WHERE run = ? AND last_step >= ?",
        (revision, run, to_step),
    )
    connection.execute("DELETE FROM step_rows WHERE run = ? AND last_step >= ?", (run, to_step))
    connection.execute("DELETE FROM offences WHERE run = ? AND step >= ?", (run, to_step))


def insert_rows(connection: sqlite3.Connection, run: str, batch: StepRows) -> None:
    """Add a batch, in the place of one with the same last step."""
    connection.execute(
        "INSERT OR REPLACE INTO step_rows VALUES (?, ?, ?)",
        (run, end_of(batch) - 1, msgspec.msgpack.encode(batch)),
    )


def _make_room(connection: sqlite3.Connection, run: str, start: int, end: int) -> None:
    """Leave of every kept batch only the steps before `start` and those from `end` on."""
    overlapping = []
    kept = connection.execute(
        "SELECT rowid, batch FROM step_rows WHERE run = ? AND last_step >= ? ORDER BY last_step",
        (run, start),
    )
    for row in kept:
        batch = _rows_of(row)
        if batch.first_step >= end:
            break
        overlapping.append((row["rowid"], batch))
    for rowid, batch in overlapping:
        connection.execute("DELETE FROM step_rows WHERE rowid = ?", (rowid,))
        if batch.first_step < start:
            insert_rows(connection, run, cut(batch, batch.first_step, start))
        if end_of(batch) > end:
            insert_rows(connection, run, cut(batch, end, end_of(batch)))


def _with_validation(
    connection: sqlite3.Connection, run: str, validation: StepRows
) -> StepRows | None:
    """Return the batch of the last step that was taken, with a validation after it."""
    newest = connection.execute(
        "SELECT batch FROM step_rows WHERE run = ? ORDER BY last_step DESC LIMIT 1", (run,)
    ).fetchone()
    return merge([_rows_of(newest), validation]) if newest else None


def _rows_of(row: sqlite3.Row) -> StepRows:
    return msgspec.msgpack.decode(row["batch"], type=StepRows)
