"""The noun `runs`: list them, look at them, pause, stop and delete them, take their data out."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from rheostat.cli import connection
from rheostat.cli.clusters import asked_cluster
from rheostat.cli.connection import connect, runs_of
from rheostat.cli.dashboard import DECISIONS, Dashboard
from rheostat.cli.exporting import check_suffix, export_steps
from rheostat.cli.failures import EXIT_FAILED
from rheostat.cli.following import Display, make_display
from rheostat.cli.listing import print_placed_runs, print_runs
from rheostat.cli.options import Address, Json, RunName, StateDir
from rheostat.cli.phrases import percent
from rheostat.cli.precedence import of_resumed
from rheostat.cli.results import print_failure, result_table
from rheostat.cli.run import end_in_order, follow, print_end, say_how_to_steer, target_of
from rheostat.cli.shapes import finished_steps, run_details, watch_event
from rheostat.cli.terminal import OUT, print_json, tell
from rheostat.runs.records import Phase
from rheostat.steering.wording import number

if TYPE_CHECKING:
    from rheostat.client import Client

EVALUATE_SECONDS = 600.0
"""How long a validation may take."""

app = typer.Typer(help="Look at, pause, stop, resume and export runs.", no_args_is_help=True)


@app.command("list")
def list_(
    tree: Annotated[
        bool, typer.Option("--tree", help="Show each run beneath the one it was made from.")
    ] = False,
    as_json: Json = False,
    address: Address = None,
    state_dir: StateDir = None,
) -> None:
    """List all runs, the newest last."""
    cluster = asked_cluster()
    if cluster is not None:
        print_placed_runs(list(runs_of(cluster)), as_json=as_json)
        return
    with connect(address, state_dir) as client:
        views = client.list_runs()
    if not views and not as_json:
        tell("No runs yet. Start one with: rheostat run SPEC")
        return
    print_runs(views, as_json=as_json, as_tree=tree)


@app.command("show")
def show_(
    run: RunName, as_json: Json = False, address: Address = None, state_dir: StateDir = None
) -> None:
    """Show one run: where it stands, how it ended, what went wrong."""
    with connect(address, state_dir) as client:
        view = client.get_run(run)
    if as_json:
        print_json(run_details(view))
        return
    OUT.print(result_table(view))
    created = datetime.fromtimestamp(view.created_at).strftime("%Y-%m-%d %H:%M:%S")
    tell(f"created {created} by {view.principal or 'unknown'}")
    for event in view.events:
        when = datetime.fromtimestamp(event.time).strftime("%Y-%m-%d %H:%M:%S")
        tell(f"{when} {event.kind}: {event.message}")
    if view.failure is not None:
        print_failure(view)


@app.command()
def watch(
    run: RunName, as_json: Json = False, address: Address = None, state_dir: StateDir = None
) -> None:
    """Follow a run until it ends."""
    with connect(address, state_dir) as client:
        events = client.watch_run(run)
        if as_json:
            for event in events:
                print_json(watch_event(event), one_line=True)
            return
        with _display_of(client, run) as display:
            for event in events:
                display.show(event)
        OUT.print(result_table(client.get_run(run)))


def _display_of(client: "Client", run: str) -> Display:
    """Return a dashboard on a terminal, with what the run has behind it; plain lines elsewhere."""
    if not OUT.is_terminal:
        return make_display(OUT)
    revision = client.get_run(run).revision
    records = client.list_decisions(run, after_revision=max(0, revision - DECISIONS))
    return Dashboard(OUT, [record.decision for record in records], client.export_run(run))


@app.command()
def pause(run: RunName, address: Address = None, state_dir: StateDir = None) -> None:
    """Let a run stand still before its next step."""
    with connect(address, state_dir) as client:
        view = client.pause_run(run)
    tell(f"{view.name} is {view.phase} before step {finished_steps(view)}.")


@app.command()
def resume(run: RunName, address: Address = None, state_dir: StateDir = None) -> None:
    """Let a run go on that is paused; or, from its newest checkpoint, that was stopped or failed.

    Without a daemon it is trained by this command, as by `run`.
    """
    with connection.find_daemon(address, state_dir) as daemon, connection.dial(daemon) as client:
        if daemon.is_embedded:
            end_in_order()
        is_trained = client.get_run(run).phase in (Phase.PAUSED, Phase.RUNNING)
        view = client.resume_run(run)
        if not is_trained:
            tell(of_resumed(view, client.list_checkpoints(run)))
        if daemon.is_embedded:
            target = target_of(address, state_dir)
            say_how_to_steer(view, daemon, target)
            view = follow(client, view, daemon)
            print_end(view, target)
            if view.phase is Phase.FAILED:
                print_failure(view)
                raise typer.Exit(EXIT_FAILED)
            return
    tell(f"{view.name} is {view.phase}.")


@app.command()
def evaluate(
    run: RunName, as_json: Json = False, address: Address = None, state_dir: StateDir = None
) -> None:
    """Look at the validation set at the next step; the training does not notice."""
    with connect(address, state_dir) as client:
        found = client.evaluate_run(run, timeout=EVALUATE_SECONDS)
    if as_json:
        print_json(msgspec.to_builtins(found))
        return
    accuracy = found.validation_accuracy
    tell(
        f"after {found.step} steps: validation loss {number(found.validation_loss)}"
        + ("" if accuracy is None else f", accuracy {percent(accuracy)}")
    )


@app.command()
def stop(run: RunName, address: Address = None, state_dir: StateDir = None) -> None:
    """End a run at its next step, validated and saved, so that it can be resumed."""
    with connect(address, state_dir) as client:
        view = client.stop_run(run)
    tell(f"{view.name} is {view.phase}.")


@app.command()
def delete(run: RunName, address: Address = None, state_dir: StateDir = None) -> None:
    """Delete a run that has ended, with its history, its checkpoints and its weights."""
    with connect(address, state_dir) as client:
        client.delete_run(run)
    tell(f"{run} is deleted.")


@app.command()
def export(
    run: RunName,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .csv or .parquet file.")],
    timing: Annotated[
        bool, typer.Option("--timing", help="Add the duration of each step, in seconds.")
    ] = False,
    undone: Annotated[
        int | None,
        typer.Option(
            metavar="REVISION",
            help="Write the steps that the rollback of this revision has undone.",
            show_default=False,
        ),
    ] = None,
    address: Address = None,
    state_dir: StateDir = None,
) -> None:
    """Write one row per finished step, in full precision."""
    check_suffix(file)
    with connect(address, state_dir) as client:
        client.get_run(run)  # an unknown run must not leave a file behind
        count = export_steps(
            lambda: client.export_run(run, undone=undone), file, with_timing=timing
        )
    tell(f"{count} steps of {run} are in {file}.")
