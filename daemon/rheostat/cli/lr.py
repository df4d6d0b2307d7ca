"""The noun `lr`: what the learning rates are, why, and how they came to be."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from rheostat.cli.bases import Base, bases_of
from rheostat.cli.changes import print_change
from rheostat.cli.connection import connect
from rheostat.cli.options import Address, Json, RunName, StateDir
from rheostat.cli.probing import probe
from rheostat.cli.recording import as_yaml, recorded_fragment
from rheostat.cli.shapes import decision_record, learning_rate_explanation, learning_rate_state
from rheostat.cli.terminal import OUT, make_table, print_json, say, tell
from rheostat.errors import RheostatError
from rheostat.runs import audit
from rheostat.steering.wording import (
    binding_sentence,
    decision_line,
    equation,
    has_moved,
    moves,
    number,
    what,
    who,
)

SHOWN_DECISIONS = 500
"""Of a history on a terminal; a run may have a million."""

app = typer.Typer(help="Look at and change the learning rates of a run.", no_args_is_help=True)
app.command()(probe)


@app.command()
def show(
    run: RunName, as_json: Json = False, address: Address = None, state_dir: StateDir = None
) -> None:
    """Show the learning rate of each group and what it is made of."""
    with connect(address, state_dir) as client:
        state = client.explain(run)
    if as_json:
        print_json(learning_rate_state(state))
        return
    columns = ("group", "learning rate", "base", "factors", "operator", "hold", "guardrails")
    table = make_table(*columns, numbers=("learning rate", "base", "operator", "hold"))
    for group in state.groups:
        table.add_row(
            group.name,
            number(group.learning_rate, 6),
            number(group.base, 6),
            ", ".join(f"{name} {number(factor)}" for name, factor in group.factors.items()) or "-",
            number(group.operator, 6),
            number(group.hold, 6),
            ", ".join(group.guardrails) or "-",
        )
    tell(f"{state.run}, step {state.step}, revision {state.revision}")
    OUT.print(table)


@app.command()
def explain(
    run: RunName,
    step: Annotated[
        int | None, typer.Option(help="A finished step; the one that runs next by default.")
    ] = None,
    as_json: Json = False,
    address: Address = None,
    state_dir: StateDir = None,
) -> None:
    """Explain each learning rate as a product, with the decisions in force."""
    with connect(address, state_dir) as client:
        explanation = client.explain(run, step)
        bases = list(bases_of(client.get_run(run), explanation.decisions))
    if as_json:
        print_json(learning_rate_explanation(explanation, bases))
        return
    tell(f"{explanation.run} at step {explanation.step}:")
    for group in explanation.groups:
        tell(f"  {equation(group)}")
        for rule in group.guardrails:
            tell(f"    {binding_sentence(rule)}")
        for policy, lr in group.shadows.items():
            tell(f"    {policy}, in shadow, would give {number(lr, 6)}.")
    tell("Base:")
    for sentence, groups in _together(bases).items():
        tell(f"  {', '.join(groups)}: {sentence}")
    if not explanation.decisions:
        tell("Nobody's change is in force: this is the schedule alone.")
        return
    tell("In force:")
    for decision in explanation.decisions:
        tell(f"  revision {decision.revision}, {decision_line(decision)}")


def _together(bases: Iterable[Base]) -> dict[str, list[str]]:
    """Return the groups by what is said of their schedules, which mostly have the same."""
    said: dict[str, list[str]] = {}
    for base in bases:
        said.setdefault(base.sentence, []).append(base.group)
    return said


@app.command()
def held(
    run: RunName, as_json: Json = False, address: Address = None, state_dir: StateDir = None
) -> None:
    """List the changes that wait for a second person's approval."""
    with connect(address, state_dir) as client:
        waiting = client.list_held_changes(run)
    if as_json:
        print_json([msgspec.to_builtins(one) for one in waiting])
        return
    table = make_table(
        "request", "who", "what", "moves by", "reason", "until", numbers=("moves by",)
    )
    for one in waiting:
        value = "" if one.value is None else f" {number(one.value, 6)}"
        groups = f" of {', '.join(one.groups)}" if one.groups else ""
        until = datetime.fromtimestamp(one.expires_at).strftime("%H:%M:%S")
        moves_by = f"{number(one.ratio, 4)} x"
        row = (one.request_id, one.principal, f"{one.verb}{value}{groups}", moves_by)
        table.add_row(*row, one.reason or "-", until)
    if waiting:
        OUT.print(table)
        say(f"Approve one with: rheostat lr approve {run} REQUEST")
    else:
        say(f"No change of {run} waits for approval.")


@app.command()
def approve(
    run: RunName,
    request: Annotated[str, typer.Argument(metavar="REQUEST", help="As `lr held` shows it.")],
    as_json: Json = False,
    address: Address = None,
    state_dir: StateDir = None,
) -> None:
    """Approve a change that somebody else has asked for; it acts at the next step."""
    with connect(address, state_dir) as client:
        result = client.approve_change(run, request)
    print_change(run, result, as_json)


@app.command()
def history(
    run: RunName,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check that no record is missing or was altered.")
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write all that was done as sections of a spec (YAML), with which a new run has "
            "the same learning rates at every step; - is standard output.",
            show_default=False,
        ),
    ] = None,
    last: Annotated[
        int | None,
        typer.Option(
            min=0,
            help=f"Only the newest so many; 0 is all. As a table {SHOWN_DECISIONS} by default, as "
            "JSON all.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
    address: Address = None,
    state_dir: StateDir = None,
) -> None:
    """List decisions: who changed the learning rate, when and why."""
    if last and (verify or export is not None):
        raise typer.BadParameter("--verify and --export are about the whole of it: leave it away")
    needs_all = verify or export is not None or as_json
    newest = (0 if needs_all else SHOWN_DECISIONS) if last is None else last
    with connect(address, state_dir) as client:
        # The steps first: whatever acted on them is in the history by then.
        batches = list(client.export_run(run)) if export is not None else []
        older = max(0, client.get_run(run).revision - newest) if newest else 0
        records = list(client.list_decisions(run, older))
        view = client.get_run(run)
    if verify:
        audit.verify(records)
        say(f"The chain of {len(records)} records is whole.")
    if export is not None:
        fragment = recorded_fragment(view, batches, [record.decision for record in records])
        steps = sum(batch.count for batch in batches)
        _write(export, as_yaml(fragment, run=run, steps=steps))
        return
    if as_json:
        print_json([decision_record(record) for record in records])
        return
    columns = ("revision", "step", "who", "what", "old → new", "reason", "when")
    table = make_table(*columns, numbers=("revision", "step"))
    for record in records:
        decision = record.decision
        table.add_row(
            str(decision.revision),
            str(decision.applied_step),
            who(decision),
            what(decision),
            moves(decision.groups) if has_moved(decision.groups) else "-",
            decision.reason or "-",
            datetime.fromtimestamp(decision.time).strftime("%Y-%m-%d %H:%M:%S"),
        )
    if records:
        OUT.print(table)
        if older:
            say(f"{older:,} older ones are not shown: rheostat lr history {run} --last 0")
    else:
        tell(f"Nobody has changed the learning rate of {run}.")


def _write(file: Path, text: str) -> None:
    if str(file) == "-":
        typer.echo(text, nl=False)
        return
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RheostatError(f"{file} cannot be written: {error.strerror or error}") from error
    say(
        f"The record is in {file}. Put its sections in place of the spec's, for the same run again."
    )
