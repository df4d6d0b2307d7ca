"""The step rows of a run's past, also of one that rollbacks have undone."""

import sqlite3
from collections.abc import Iterable, Iterator

import msgspec

from rheostat.runs.records import StepRows
from rheostat.runs.rows import cut, end_of
from rheostat.steering.records import Decision, DecisionRecord
from rheostat.steering.script import ROLLBACK


def shared_rows(
    connection: sqlite3.Connection, run: str, until: int, undone_by: int | None
) -> list[StepRows]:
    """Return the rows that a fork has in common with a run, in step order.

    Args:
        connection: to the database, within a transaction.
        run: the one that is forked.
        until: number of finished steps at which it is.
        undone_by: revision of the rollback that has undone what is forked; None where none has.
    """
    rows = _batches(connection, "step_rows WHERE run = ?", run)
    if undone_by is not None:
        # From now backwards: before each rollback stood what it put aside, after what it left.
        for decision in _rollbacks(connection, run, undone_by):
            assert decision.rollback is not None
            aside = "undone_rows WHERE run = ? AND revision = ?"
            undone = _batches(connection, aside, run, decision.revision)
            rows = [*_before(rows, decision.rollback.to_step), *undone]
    return list(_before(rows, until))


def _rollbacks(connection: sqlite3.Connection, run: str, since: int) -> list[Decision]:
    """Return the rollbacks of a run from a revision on, the newest first."""
    found = connection.execute(
        "SELECT record FROM decisions WHERE run = ? AND revision >= ? AND source = ? "
        "ORDER BY revision DESC",
        (run, since, ROLLBACK),
    )
    records = [msgspec.json.decode(row["record"], type=DecisionRecord) for row in found]
    return [one.decision for one in records]


def _batches(connection: sqlite3.Connection, where: str, *values: object) -> list[StepRows]:
    found = connection.execute(f"SELECT batch FROM {where} ORDER BY last_step", values)
    return [msgspec.msgpack.decode(row["batch"], type=StepRows) for row in found]


def _before(rows: Iterable[StepRows], step: int) -> Iterator[StepRows]:
    for batch in rows:
        if batch.first_step < step:
            yield cut(batch, batch.first_step, min(step, end_of(batch)))
