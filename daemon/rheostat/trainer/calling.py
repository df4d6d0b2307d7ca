"""A trainer's first call to the daemon that has started it."""

import os
from pathlib import Path

import msgspec

from rheostat.runs.starting import LINK_VARIABLE, START_FILE, TOKEN_VARIABLE, StartOrder
from rheostat.trainer.link import Link


def call_daemon(run: str, folder: Path, pid: int | None = None) -> tuple[Link, StartOrder]:
    """Return a link to the daemon that has started this process, and what it has ordered.

    Args:
        run: whose trainer is calling.
        folder: of the run.
        pid: of the process that the daemon has started; None is this one.
    """
    order = msgspec.json.decode((folder / START_FILE).read_bytes(), type=StartOrder)
    file, token = Path(os.environ[LINK_VARIABLE]), os.environ[TOKEN_VARIABLE]
    return Link(file, run, token, patience=order.patience, pid=pid), order
