"""What lets a run go on with its next trainer, and the next daemon with the run."""

import sqlite3
from collections.abc import Sequence

import msgspec

from rheostat.runs.restarting import TrackRecord
from rheostat.runs.tables.table import Table
from rheostat.steering.records import Change, Offence


class GoingOnTable(Table):
    """Changes that wait, policies that were late, and how trainers have fared."""

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
            drop_change(connection, run, request_id)

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


def drop_change(connection: sqlite3.Connection, run: str, request_id: str) -> None:
    """Forget a change that waits; nothing happens where it was not kept."""
    connection.execute(
        "DELETE FROM pending_changes WHERE run = ? AND request_id = ?", (run, request_id)
    )


def copy_offences(connection: sqlite3.Connection, source: str, run: str, before: int) -> None:
    """Give a run the offences of another before a step."""
    connection.execute(
        "INSERT INTO offences SELECT ?, step, policy, offence FROM offences "
        "WHERE run = ? AND step < ?",
        (run, source, before),
    )
