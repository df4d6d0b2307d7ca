"""What every table has."""

from rheostat.runs.database import Database


class Table:
    """A part of the daemon's memory.

    Every method may raise `StorageFailed`, which names the file.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
