"""The noun `checkpoint`: what a run can go on from, listed and taken."""

from datetime import datetime
from typing import Annotated

import msgspec
import typer

from rheostat.cli.connection import connect
from rheostat.cli.options import Address, Json, RunName, StateDir
from rheostat.cli.phrases import number, size
from rheostat.cli.terminal import OUT, make_table, print_json, tell

SAVE_SECONDS = 600.0
"""How long a checkpoint may take: a large one, on a slow disk, behind another."""

app = typer.Typer(help="List and take the checkpoints of a run.", no_args_is_help=True)


@app.command("list")
def list_(
    run: RunName, as_json: Json = False, address: Address = None, state_dir: StateDir = None
) -> None:
    """List the checkpoints of a run, the newest last."""
    with connect(address, state_dir) as client:
        found = client.list_checkpoints(run)
    if as_json:
        print_json(msgspec.to_builtins(found))
        return
    if not found:
        tell(f"{run} has no checkpoints yet. Take one with: rheostat checkpoint save {run}")
        return
    columns = ("step", "revision", "taken", "because", "validation loss", "size", "pinned")
    table = make_table(*columns, numbers=("step", "revision", "validation loss", "size"))
    for one in found:
        table.add_row(
            str(one.step),
            str(one.revision),
            datetime.fromtimestamp(one.created_at).strftime("%Y-%m-%d %H:%M:%S"),
            one.reason,
            number(one.validation_loss),
            size(one.bytes),
            "pinned" if one.pinned else "",
        )
    OUT.print(table)


@app.command()
def save(
    run: RunName,
    pin: Annotated[
        bool, typer.Option("--pin", help="Keep it until the run is deleted, whatever comes after.")
    ] = False,
    as_json: Json = False,
    address: Address = None,
    state_dir: StateDir = None,
) -> None:
    """Take a checkpoint at the next step, and wait until it is on the disk."""
    with connect(address, state_dir) as client:
        saved = client.save_checkpoint(run, pin=pin, timeout=SAVE_SECONDS)
    if as_json:
        print_json(msgspec.to_builtins(saved))
        return
    tell(f"{run} can go on from step {saved.step}: {size(saved.bytes)} in {saved.path}")
