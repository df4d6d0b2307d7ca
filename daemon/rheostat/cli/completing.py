"""What a shell offers when Tab is pressed after a verb: the runs of the daemon that lives here."""

from typing import Any

import typer

from rheostat.errors import RheostatError

PATIENCE_SECONDS = 1.0
"""A shell that waits longer feels broken."""


def run_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the runs whose names begin so; none where no daemon answers at once.

    Args:
        ctx: the command line so far.
        incomplete: what is typed of the name.
    """
    # A completion must be quick: what it needs is imported here, and no daemon is started.
    from rheostat.cli.connection import state_folder
    from rheostat.cli.credentials import presented
    from rheostat.client import Client
    from rheostat.locating import daemon_address

    address = _given(ctx, "address") or daemon_address(state_folder(_given(ctx, "state_dir")))
    if address is None:
        return []
    try:
        with Client(address, timeout=PATIENCE_SECONDS, credentials=presented()) as client:
            return [view.name for view in client.list_runs() if view.name.startswith(incomplete)]
    except RheostatError:
        return []


def _given(ctx: typer.Context, name: str) -> Any:
    """Return an option of the verb, else the same before it."""
    return ctx.params.get(name) or ctx.find_root().params.get(name)
