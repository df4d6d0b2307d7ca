"""What the daemon remembers: runs, their decisions and their step rows, in one SQLite file.

A write is on the disk when the method returns; a process killed at any moment, or a power cut,
loses nothing that was acknowledged. Every method blocks, some for as long as a disk needs, so the
event loop calls them through an executor with one thread.
"""

from pathlib import Path

import msgspec

from rheostat.runs.database import Database
from rheostat.runs.past import shared_rows
from rheostat.runs.records import RunView
from rheostat.runs.schema import MIGRATIONS
from rheostat.runs.tables.decisions import DecisionTable, copy_decisions
from rheostat.runs.tables.going_on import GoingOnTable, copy_offences
from rheostat.runs.tables.runs import RunTable, insert_run, known_by
from rheostat.runs.tables.step_rows import StepRowTable, insert_rows


class Store(RunTable, DecisionTable, StepRowTable, GoingOnTable):
    """The daemon's memory: all its tables. Every method may raise `StorageFailed`."""

    def __init__(self, path: Path) -> None:
        """Open the file, or create it in a directory that exists."""
        super().__init__(Database(path, MIGRATIONS))

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
            if (known := known_by(connection, request_id)) is not None:
                return known
            view = msgspec.structs.replace(view, revision=revision)
            view = insert_run(connection, view, request_id)
            copy_decisions(connection, source, view.name, revision)
            for batch in shared_rows(connection, source, shared_steps, undone_by):
                insert_rows(connection, view.name, batch)
            copy_offences(connection, source, view.name, offences)
            return view

    def close(self) -> None:
        """Close the file; nothing else may be called after."""
        self._database.close()
