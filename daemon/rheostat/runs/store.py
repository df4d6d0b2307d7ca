"""What the daemon remembers: runs, their decisions and their step rows, in one SQLite file.

A write is on the disk when the method returns; a process killed at any moment, or a power cut,
loses nothing that was acknowledged. Every method blocks, some for as long as a disk needs, so the
event loop calls them through an executor with one thread.
"""

import itertools
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from rheostat.errors import BrokenChain, NotFound
from rheostat.runs import audit
from rheostat.runs.database import Database
from rheostat.runs.lineage import planned_steps
from rheostat.runs.past import shared_rows
from rheostat.runs.records import RunView, Snapshot, StepRows
from rheostat.runs.restarting import TrackRecord
from rheostat.runs.rows import cut, end_of, merge
from rheostat.runs.schema import MIGRATIONS
from rheostat.steering.records import Change, Decision, DecisionRecord, Offence, Verb
from rheostat.steering.script import ROLLBACK

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


class Store:
    """The daemon's memory. Every method may raise `StorageFailed`, which names the file."""

    def __init__(self, path: Path) -> None:
        """Open the file, or create it in a directory that exists."""
        self._database = Database(path, MIGRATIONS)

    def create_run(self, view: RunView, request_id: str) -> RunView:
        """Keep a new run, under the first free name of `name`, `name-2`, `name-3` and so on.

        Args:
            view: The run; its name is the one wished for.
            request_id: Idempotency key; empty for none.

        Returns:
            The run as kept, or the one that an earlier call with this `request_id` made.
        """
        with self._database.transaction() as connection:
            known = connection.execute(
                f"{_SELECT_RUN} WHERE request_id = ?", (request_id,)
            ).fetchone()
            if known is not None:
                return _view_of(known)
            view = msgspec.structs.replace(view, name=_free_name(connection, view.name))
            connection.execute(_INSERT_RUN, {**_row_of(view), "request_id": request_id or None})
            return view

    def branch_run(
        self,
        view: RunView,
        request_id: str,
        *,
        revision: int,
        offences: int,
        undone_by: int | None = None,
    ) -> RunView:
        """Keep a new run that shares its past with the run of its origin: decisions and step rows.

        Args:
            view: As for `create_run`; with its origin, before whose step they share the rows.
            request_id: Idempotency key; empty for none.
            revision: The newest decision that they share; all are chained anew, to the new name.
            offences: The first step whose offences they do not share.
            undone_by: The rollback of the origin that has undone what they share; None for none.

        Returns:
            The run as kept, or the one that an earlier call with this `request_id` made.

        Raises:
            BrokenChain: The history of the origin was altered.
        """
        assert view.origin is not None
        source, shared_steps = view.origin.run, view.origin.step
        with self._database.transaction() as connection:
            known = connection.execute(
                f"{_SELECT_RUN} WHERE request_id = ?", (request_id,)
            ).fetchone()
            if known is not None:
                return _view_of(known)
            name = _free_name(connection, view.name)
            view = msgspec.structs.replace(view, name=name, revision=revision)
            connection.execute(_INSERT_RUN, {**_row_of(view), "request_id": request_id or None})
            previous_hash = audit.GENESIS
            for row in connection.execute(
                "SELECT record FROM decisions WHERE run = ? AND revision <= ? ORDER BY revision",
                (source, revision),
            ).fetchall():
                record = audit.chain(name, previous_hash, _record_of(row).decision)
                _insert_decision(connection, record)
                previous_hash = record.hash
            for batch in shared_rows(connection, source, shared_steps, undone_by):
                _insert_rows(connection, name, batch)
            connection.execute(
                "INSERT INTO offences SELECT ?, step, policy, offence FROM offences "
                "WHERE run = ? AND step < ?",
                (name, source, offences),
            )
            return view

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

    def append_decisions(self, run: str, decisions: Sequence[Decision]) -> list[DecisionRecord]:
        """Add to a run's history, all or none, each chained to the one before.

        Those that are there already are left alone: a trainer sends again what it does not know to
        be durable. A change that was to wait on the disk until it is decided is dropped with that.
        A rollback takes the rows of the steps along that it undoes; see `read_undone_rows`.

        Returns:
            The records that are new.

        Raises:
            BrokenChain: A revision is not the one after the last, or there is another decision of
                that revision; names it.
            ValueError: A decision holds a number that is not finite.
        """
        records = []
        with self._database.transaction() as connection:
            last = connection.execute(
                "SELECT revision, hash FROM decisions WHERE run = ? ORDER BY revision DESC LIMIT 1",
                (run,),
            ).fetchone()
            revision, previous_hash = last or (0, audit.GENESIS)
            for decision in decisions:
                if decision.revision <= revision:
                    _require_equal(connection, run, decision)
                    continue
                if decision.revision != revision + 1:
                    raise BrokenChain(
                        f"run {run}: decision {decision.revision} cannot follow {revision}"
                    )
                record = audit.chain(run, previous_hash, decision)
                _insert_decision(connection, record)
                _drop_change(connection, run, decision.request_id)
                if decision.rollback is not None:
                    _undo(connection, run, decision.revision, decision.rollback.to_step)
                records.append(record)
                revision, previous_hash = decision.revision, record.hash
        return records

    def list_decisions(
        self, run: str, after_revision: int = 0, limit: int = 100
    ) -> list[DecisionRecord]:
        """Return the decisions after a revision, oldest first, at most `limit` of them."""
        return self._database.select(
            _record_of,
            "SELECT record FROM decisions WHERE run = ? AND revision > ? ORDER BY revision LIMIT ?",
            run,
            after_revision,
            limit,
        )

    def find_decision(self, run: str, request_id: str) -> Decision | None:
        """Return what became of a request, None when nothing did yet."""
        found = self._database.select(
            _record_of,
            "SELECT record FROM decisions WHERE run = ? AND request_id = ? AND request_id <> ''",
            run,
            request_id,
        )
        return found[0].decision if found else None

    def count_decisions_by_source(self, run: str) -> dict[str, int]:
        """Return how many decisions each source made."""
        return dict(
            self._database.select(
                tuple, "SELECT source, COUNT(*) FROM decisions WHERE run = ? GROUP BY source", run
            )
        )

    def planned_steps(self, run: str, since: int = 0) -> int | None:
        """Return what decisions have made of the number of steps; None where none has.

        Those up to the revision `since` do not count.
        """
        found = self._database.select(
            _record_of,
            "SELECT record FROM decisions WHERE run = ? AND revision > ? "
            "AND json_extract(record, '$.decision.verb') IN (?, ?) ORDER BY revision DESC LIMIT 1",
            run,
            since,
            Verb.HORIZON.value,
            ROLLBACK,
        )
        return planned_steps(found[0].decision) if found else None

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
                _insert_rows(connection, run, batch)

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

    # --- what lets a run go on -----------------------------------------------------------------

    def keep_change(self, run: str, change: Change) -> None:
        """Keep a change that waits for its step, until it is decided or dropped."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO pending_changes (run, request_id, change) VALUES (?, ?, ?)",
                (run, change.request_id, msgspec.json.encode(change).decode()),
            )

    def replace_change(self, run: str, change: Change) -> None:
        """Keep a change in another form; nothing happens where it was not kept."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE pending_changes SET change = ? WHERE run = ? AND request_id = ?",
                (msgspec.json.encode(change).decode(), run, change.request_id),
            )

    def drop_change(self, run: str, request_id: str) -> None:
        """Forget a change that was refused; nothing happens where it was not kept."""
        with self._database.transaction() as connection:
            _drop_change(connection, run, request_id)

    def list_changes(self, run: str) -> list[Change]:
        """Return the changes that wait for their step, in the order they were asked for."""
        return self._database.select(
            lambda row: msgspec.json.decode(row["change"], type=Change),
            "SELECT change FROM pending_changes WHERE run = ? ORDER BY ordinal",
            run,
        )

    def add_offences(self, run: str, offences: Sequence[Offence]) -> None:
        """Keep which answers of policies were dropped by the clock; the same again does no harm."""
        with self._database.transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO offences VALUES (?, ?, ?, ?)",
                [
                    (run, one.step, one.policy, msgspec.json.encode(one).decode())
                    for one in offences
                ],
            )

    def list_offences(self, run: str, from_step: int = 0) -> list[Offence]:
        """Return the offences of a step and all after it, in step order."""
        return self._database.select(
            lambda row: msgspec.json.decode(row["offence"], type=Offence),
            "SELECT offence FROM offences WHERE run = ? AND step >= ? ORDER BY step, policy",
            run,
            from_step,
        )

    def drop_offences(self, run: str, from_step: int) -> None:
        """Forget those against observations from a step on: these steps are taken anew."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM offences WHERE run = ? AND step >= ?", (run, from_step))

    def save_trainer(self, run: str, token: str, record: TrackRecord) -> None:
        """Keep what the next daemon must know of a run's trainers.

        Args:
            run: its name.
            token: the secret that they prove themselves with.
            record: how they have fared.
        """
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO trainers VALUES (?, ?, ?, ?)",
                (run, token, record.reached, record.fruitless),
            )

    def get_trainer(self, run: str) -> tuple[str, TrackRecord]:
        """Return what was kept of a run's trainers; an empty token where it never had one."""
        found = self._database.select(
            lambda row: (
                str(row["token"]),
                TrackRecord(reached=row["reached"], fruitless=row["fruitless"]),
            ),
            "SELECT token, reached, fruitless FROM trainers WHERE run = ?",
            run,
        )
        return found[0] if found else ("", TrackRecord())

    def close(self) -> None:
        """Close the file; nothing else may be called after."""
        self._database.close()


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


def _record_of(row: sqlite3.Row) -> DecisionRecord:
    return msgspec.json.decode(row["record"], type=DecisionRecord)


def _rows_of(row: sqlite3.Row) -> StepRows:
    return msgspec.msgpack.decode(row["batch"], type=StepRows)


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


def _drop_change(connection: sqlite3.Connection, run: str, request_id: str) -> None:
    connection.execute(
        "DELETE FROM pending_changes WHERE run = ? AND request_id = ?", (run, request_id)
    )


def _insert_decision(connection: sqlite3.Connection, record: DecisionRecord) -> None:
    decision = record.decision
    connection.execute(
        "INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            record.run,
            decision.revision,
            decision.applied_step,
            decision.source,
            decision.request_id,
            decision.time,
            msgspec.json.encode(record).decode(),
            record.hash,
        ),
    )


def _undo(connection: sqlite3.Connection, run: str, revision: int, to_step: int) -> None:
    """Put the rows aside that a rollback undoes, and forget what policies were late for there."""
    _make_room(connection, run, to_step, to_step)
    connection.execute(
        "INSERT INTO undone_rows SELECT run, ?, last_step, batch FROM step_rows "
        "WHERE run = ? AND last_step >= ?",
        (revision, run, to_step),
    )
    connection.execute("DELETE FROM step_rows WHERE run = ? AND last_step >= ?", (run, to_step))
    connection.execute("DELETE FROM offences WHERE run = ? AND step >= ?", (run, to_step))


def _require_equal(connection: sqlite3.Connection, run: str, decision: Decision) -> None:
    row = connection.execute(
        "SELECT record FROM decisions WHERE run = ? AND revision = ?", (run, decision.revision)
    ).fetchone()
    if audit.as_read_back(decision) != _record_of(row).decision:
        raise BrokenChain(
            f"run {run}: another decision {decision.revision} is in its history already"
        )


def _insert_rows(connection: sqlite3.Connection, run: str, batch: StepRows) -> None:
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
            _insert_rows(connection, run, cut(batch, batch.first_step, start))
        if end_of(batch) > end:
            _insert_rows(connection, run, cut(batch, end, end_of(batch)))


def _with_validation(
    connection: sqlite3.Connection, run: str, validation: StepRows
) -> StepRows | None:
    """Return the batch of the last step that was taken, with a validation after it."""
    newest = connection.execute(
        "SELECT batch FROM step_rows WHERE run = ? ORDER BY last_step DESC LIMIT 1", (run,)
    ).fetchone()
    return merge([_rows_of(newest), validation]) if newest else None
