"""Runs, as they stand."""

import itertools
import sqlite3
from collections.abc import Iterator
from typing import Any

import msgspec

from rheostat.errors import NotFound
from rheostat.runs.records import RunView, Snapshot
from rheostat.runs.tables.table import Table

MAX_NAME_LENGTH = 63
"""Of a run's name, as of every name in a spec."""

# A run's revision is that of its newest decision, and is kept nowhere else.
_RUN_COLUMNS = tuple(field for field in RunView.__struct_fields__ if field != "revision")
_JSON_COLUMNS = ("groups", "snapshot", "result", "failure", "restarts", "events", "origin")
_SELECT_RUN = f"""
SELECT {", ".join(_RUN_COLUMNS)},
    (SELECT COALESCE(MAX(revision), 0) FROM decisions WHERE run = runs.name) AS revision
FROM runs
"""
_INSERT_RUN = f"""
INSERT INTO runs (request_id, {", ".join(_RUN_COLUMNS)})
VALUES (:request_id, {", ".join(f":{column}" for column in _RUN_COLUMNS)})
"""
_UPDATE_RUN = f"""
UPDATE runs SET {", ".join(f"{column} = :{column}" for column in _RUN_COLUMNS)} WHERE name = :name
"""


class RunTable(Table):
    """A row for each run."""

    def create_run(self, view: RunView, request_id: str) -> RunView:
        """Keep a new run, under the first free name of `name`, `name-2`, `name-3` and so on.

        Args:
            view: The run; its name is the one wished for.
            request_id: Idempotency key; empty for none.

        Returns:
            The run as kept, or the one that an earlier call with this `request_id` made.
        """
        with self._database.transaction() as connection:
            return known_by(connection, request_id) or insert_run(connection, view, request_id)

    def save_run(self, view: RunView) -> None:
        """Replace what is kept of a run; its revision is not taken from here.

        Changes that wait for their step end with the run: whoever resumes it, asks anew.

        Raises:
            NotFound: It was never created, or deleted.
        """
        with self._database.transaction() as connection:
            if connection.execute(_UPDATE_RUN, _row_of(view)).rowcount == 0:
                raise NotFound(f"no run is named {view.name!r}")
            if view.phase.is_final:
                connection.execute("DELETE FROM pending_changes WHERE run = ?", (view.name,))

    def save_snapshot(self, name: str, snapshot: Snapshot | None) -> None:
        """Replace a run's snapshot and nothing else; nothing happens where there is no run."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE runs SET snapshot = ? WHERE name = ?",
                (msgspec.json.encode(snapshot).decode(), name),
            )

    def get_run(self, name: str) -> RunView | None:
        """Return a run, None when there is none of that name."""
        found = self._database.select(_view_of, f"{_SELECT_RUN} WHERE name = ?", name)
        return found[0] if found else None

    def list_runs(self) -> list[RunView]:
        """Return all runs, oldest first."""
        return self._database.select(_view_of, f"{_SELECT_RUN} ORDER BY ordinal")

    def delete_run(self, name: str) -> None:
        """Forget a run with its decisions and step rows; nothing happens where there is none."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM runs WHERE name = ?", (name,))


def known_by(connection: sqlite3.Connection, request_id: str) -> RunView | None:
    """Return the run that a request has made, None where it has made none."""
    known = connection.execute(f"{_SELECT_RUN} WHERE request_id = ?", (request_id,)).fetchone()
    return None if known is None else _view_of(known)


def insert_run(connection: sqlite3.Connection, view: RunView, request_id: str) -> RunView:
    """Add a run under the first free name like its own; return it as kept."""
    view = msgspec.structs.replace(view, name=_free_name(connection, view.name))
    connection.execute(_INSERT_RUN, {**_row_of(view), "request_id": request_id or None})
    return view


def _row_of(view: RunView) -> dict[str, Any]:
    row = {column: getattr(view, column) for column in _RUN_COLUMNS}
    for column in _JSON_COLUMNS:
        if row[column] is not None:
            row[column] = msgspec.json.encode(row[column]).decode()
    return row


def _view_of(row: sqlite3.Row) -> RunView:
    fields = dict(row)
    for column in _JSON_COLUMNS:
        if fields[column] is not None:
            fields[column] = msgspec.json.decode(fields[column])
    for column in ("is_paused", "attached"):
        fields[column] = bool(fields[column])
    return msgspec.convert(fields, RunView)


def _free_name(connection: sqlite3.Connection, wish: str) -> str:
    taken = "SELECT 1 FROM runs WHERE name = ?"
    return next(
        name for name in _names_like(wish) if connection.execute(taken, (name,)).fetchone() is None
    )


def _names_like(wish: str) -> Iterator[str]:
    yield wish
    for number in itertools.count(2):
        suffix = f"-{number}"
        yield wish[: MAX_NAME_LENGTH - len(suffix)] + suffix
