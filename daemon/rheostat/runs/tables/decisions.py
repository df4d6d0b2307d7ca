"""What was decided, chained so that nothing can be altered unseen."""

import sqlite3
from collections.abc import Sequence

import msgspec

from rheostat.errors import BrokenChain
from rheostat.runs import audit
from rheostat.runs.lineage import planned_steps
from rheostat.runs.tables.going_on import drop_change
from rheostat.runs.tables.step_rows import undo
from rheostat.runs.tables.table import Table
from rheostat.steering.records import Decision, DecisionRecord, Verb
from rheostat.steering.script import ROLLBACK


class DecisionTable(Table):
    """A row for each decision of a run."""

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
                drop_change(connection, run, decision.request_id)
                if decision.rollback is not None:
                    undo(connection, run, decision.revision, decision.rollback.to_step)
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


def _insert_decision(connection: sqlite3.Connection, record: DecisionRecord) -> None:
    """Add a decision that is chained already."""
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


def _require_equal(connection: sqlite3.Connection, run: str, decision: Decision) -> None:
    row = connection.execute(
        "SELECT record FROM decisions WHERE run = ? AND revision = ?", (run, decision.revision)
    ).fetchone()
    if audit.as_read_back(decision) != _record_of(row).decision:
        raise BrokenChain(
            f"run {run}: another decision {decision.revision} is in its history already"
        )


def copy_decisions(connection: sqlite3.Connection, source: str, run: str, revision: int) -> None:
    """Give a run the decisions of another up to a revision, chained anew to its own name.

    Raises:
        BrokenChain: The history of the other was altered.
    """
    previous_hash = audit.GENESIS
    for row in connection.execute(
        "SELECT record FROM decisions WHERE run = ? AND revision <= ? ORDER BY revision",
        (source, revision),
    ).fetchall():
        record = audit.chain(run, previous_hash, _record_of(row).decision)
        _insert_decision(connection, record)
        previous_hash = record.hash


def _record_of(row: sqlite3.Row) -> DecisionRecord:
    return msgspec.json.decode(row["record"], type=DecisionRecord)
