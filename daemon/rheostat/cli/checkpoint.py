"""The noun `checkpoint`: what a run can go on from, listed and taken, and other runs too."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

import msgspec
import typer

from rheostat.cli.connection import connect
from rheostat.cli.options import Address, Json, Overrides, RunName, StateDir
from rheostat.cli.overrides import override
from rheostat.cli.phrases import size
from rheostat.cli.precedence import of_fork
from rheostat.cli.shapes import run_details
from rheostat.cli.terminal import OUT, make_table, print_json, tell
from rheostat.runs.checkpoints import CheckpointInfo
from rheostat.runs.script_forks import how_to_begin
from rheostat.steering.wording import decision_line, number

SAVE_SECONDS = 600.0
"""How long a checkpoint may take: a large one, on a slow disk, behind another."""

app = typer.Typer(
    help="List and take the checkpoints of a run, take it back to one, or fork it there.",
    no_args_is_help=True,
)


@app.command("list")
def list_(
    run: RunName, as_json: Json = False, address: Address = None, state_dir: StateDir = None
) -> None:
    """List the checkpoints of a run, the newest last, and the snapshots in its trainer's memory."""
    with connect(address, state_dir) as client:
        found = client.list_checkpoints(run)
    if as_json:
        print_json(msgspec.to_builtins(found))
        return
    if not found:
        tell(f"{run} has no checkpoints yet. Take one with: rheostat checkpoint save {run}")
        return
    columns = ("step", "revision", "taken", "because", "validation loss", "size", "")
    table = make_table(*columns, numbers=("step", "revision", "validation loss", "size"))
    for one in found:
        table.add_row(
            str(one.step),
            str(one.revision),
            datetime.fromtimestamp(one.created_at).strftime("%Y-%m-%d %H:%M:%S"),
            one.reason,
            number(one.validation_loss),
            size(one.bytes),
            ", ".join(_marks(one)),
        )
    OUT.print(table)


def _marks(one: CheckpointInfo) -> Iterator[str]:
    if one.in_memory:
        yield "in memory"
    if one.pinned:
        yield "pinned"
    if one.undone_by is not None:
        yield f"undone by revision {one.undone_by}"


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


@app.command()
def rollback(
    run: RunName,
    step: Annotated[
        int | None,
        typer.Option(
            help="To the newest checkpoint of at most so many steps; by default the newest.",
            show_default=False,
        ),
    ] = None,
    back: Annotated[
        int | None,
        typer.Option(help="The newest that is at least so many steps old.", show_default=False),
    ] = None,
    skip: Annotated[int, typer.Option(help="Leave out so many batches from there on.")] = 0,
    rewarm: Annotated[
        int, typer.Option(help="Let the LR rise from 0 over so many steps; 0 is not to.")
    ] = 0,
    scale: Annotated[
        float | None,
        typer.Option(help="Multiply the LR by this from there on.", show_default=False),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; kept in the history.")] = "",
    request_id: Annotated[
        str, typer.Option(help="Key under which the same request is done only once.")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say where it would go back to.")
    ] = False,
    as_json: Json = False,
    address: Address = None,
    state_dir: StateDir = None,
) -> None:
    """Take a run back to a checkpoint at the next step, and let it go on from there."""
    with connect(address, state_dir) as client:
        result = client.roll_back_run(
            run,
            step=step,
            back_steps=back,
            skip=skip,
            rewarm_steps=rewarm,
            scale=scale,
            reason=reason,
            request_id=request_id,
            dry_run=dry_run,
            timeout=SAVE_SECONDS,
        )
    if as_json:
        print_json(msgspec.to_builtins(result))
    elif result.decision is None:
        tell(f"{run} would go back to step {result.step}. Nothing was done.")
    else:
        tell(f"revision {result.decision.revision}, {decision_line(result.decision)}")


@app.command()
def fork(
    run: RunName,
    step: Annotated[
        int | None,
        typer.Option(
            help="Take the newest checkpoint of at most so many steps; by default the newest.",
            show_default=False,
        ),
    ] = None,
    undone: Annotated[
        int | None,
        typer.Option(
            help="Take one that the rollback of this revision has undone.",
            metavar="REVISION",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Call the new run this.", show_default=False)
    ] = None,
    precedence: Annotated[
        str,
        typer.Option(
            help="Whose schedule, overrides and policies count: `spec` or `checkpoint`; by default "
            "the checkpoint's, unless --set changes what they are made of.",
            show_default=False,
        ),
    ] = "",
    overrides: Overrides = None,
    request_id: Annotated[
        str, typer.Option(help="Key under which the same request makes only one run.")
    ] = "",
    as_json: Json = False,
    address: Address = None,
    state_dir: StateDir = None,
) -> None:
    """Go on from a checkpoint in a new run, with another LR, schedule, policy, length or seed."""
    with connect(address, state_dir) as client:
        document = override(json.loads(client.get_run(run).spec), overrides or [])
        document["name"] = name or f"{run}-fork"
        text = json.dumps(document, ensure_ascii=False)
        made = client.fork_run(
            run, text, step=step, undone=undone, precedence=precedence, request_id=request_id
        )
    if as_json:
        print_json(run_details(made))
        return
    origin = made.origin
    assert origin is not None  # it was made from a run
    tell(f"{made.name} begins with the {origin.step} first steps of {run}, and is {made.phase}.")
    if made.awaits_script:
        tell(how_to_begin(made.name))
    tell(of_fork(made))
