"""One SQLite file: opened, versioned, and every error of it told with its path."""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from rheostat.errors import StorageFailed

T = TypeVar("T")

_BUSY_TIMEOUT_SECONDS = 5.0
_MEND = (
    "the disk or something else has damaged it. Stop the daemon and save what can be read with "
    "`sqlite3 FILE .recover | sqlite3 NEW`, or move it away and begin anew; checkpoints and "
    "weights are in the runs' folders, not in it"
)


class Database:
    """A connection for one caller at a time.

    It may be used from any thread, as long as no two calls overlap: the one-thread executor that
    the daemon calls it through is not the thread that opened it.
    """

    def __init__(self, path: Path, migrations: Sequence[str]) -> None:
        """Open the file, or create it, and bring it to the newest version.

        Only this user may read it: it holds the secrets of trainers.

        Args:
            path: the file.
            migrations: SQL that brings it from each version to the next.

        Raises:
            StorageFailed: It cannot be opened, is no database, or has a newer version.
        """
        self._path = path
        with self._errors_with_path():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            path.chmod(0o600)  # also where an older Rheostat has made it
            # Transactions are begun by hand: `sqlite3` would begin them lazily and not IMMEDIATE.
            self._connection = sqlite3.connect(
                path,
                timeout=_BUSY_TIMEOUT_SECONDS,
                isolation_level=None,
                check_same_thread=False,
            )
        try:
            self._prepare(migrations)
        except BaseException:
            self._connection.close()
            raise

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Change the file all or nothing; on the disk itself when the block is left.

        Raises:
            StorageFailed: The disk, the file or a constraint said no; nothing was changed.
        """
        with self._errors_with_path():
            # IMMEDIATE takes the write lock now, so that what is read inside stays true.
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def select(self, read: Callable[[sqlite3.Row], T], sql: str, *parameters: object) -> list[T]:
        """Return every row of a query, each as `read` makes of it.

        Raises:
            StorageFailed: The file cannot be read, or a row does not hold what it should.
        """
        with self._errors_with_path():
            return [read(row) for row in self._connection.execute(sql, parameters)]

    def close(self) -> None:
        """Close the file; nothing else may be called after."""
        with self._errors_with_path():
            self._connection.close()

    def _prepare(self, migrations: Sequence[str]) -> None:
        self._connection.row_factory = sqlite3.Row
        with self._errors_with_path():
            found: int = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if found > len(migrations):
                raise StorageFailed(
                    f"{self._path} was written by a newer Rheostat (schema {found}, this one knows "
                    f"{len(migrations)}): upgrade Rheostat, or use another state directory"
                )
            self._connection.execute("PRAGMA journal_mode = WAL")
            # NORMAL would lose the last commits of WAL when the machine loses power.
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute("PRAGMA foreign_keys = ON")
            for version, migration in enumerate(migrations[found:], start=found + 1):
                self._connection.executescript(
                    f"BEGIN IMMEDIATE; {migration} PRAGMA user_version = {version}; COMMIT;"
                )

    @contextmanager
    def _errors_with_path(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, msgspec.MsgspecError, OSError) as error:
            text = f"cannot use the state file {self._path}: {error}"
            if isinstance(error, sqlite3.DatabaseError) and "malformed" in str(error):
                text += f"; {_MEND}"
            raise StorageFailed(text) from error
