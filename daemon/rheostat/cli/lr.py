"""The noun `lr`: what the learning rates are, why, and how they came to be."""

from datetime import datetime
from typing import Annotated

import typer

from rheostat.cli.connection import connect
from rheostat.cli.options import Address, Json, RunName, StateDir
from rheostat.cli.phrases import decision_line, equation, moves, number, what, who
from rheostat.cli.shapes import decision_record, learning_rate_explanation, learning_rate_state
from rheostat.cli.terminal import OUT, make_table, print_json, say, tell
from rheostat.runs import audit

app = typer.Typer(help="Look at and change the learning rates of a run.", no_args_is_help=True)


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
    run: RunName, as_json: Json = False, address: Address = None, state_dir: StateDir = None
) -> None:
    """Explain each learning rate as a product, with the decisions still in force."""
    with connect(address, state_dir) as client:
        explanation = client.explain(run)
    if as_json:
        print_json(learning_rate_explanation(explanation))
        return
    tell(f"{explanation.run} at step {explanation.step}:")
    for group in explanation.groups:
        tell(f"  {equation(group)}")
    if not explanation.decisions:
        tell("Nobody's change is in force: this is the schedule alone.")
        return
    tell("In force:")
    for decision in explanation.decisions:
        tell(f"  revision {decision.revision}, {decision_line(decision)}")


@app.command()
def history(
    run: RunName,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check that no record is missing or was altered.")
    ] = False,
    as_json: Json = False,
    address: Address = None,
    state_dir: StateDir = None,
) -> None:
    """List every decision: who changed the learning rate, when and why."""
    with connect(address, state_dir) as client:
        records = list(client.list_decisions(run))
    if verify:
        audit.verify(records)
        say(f"The chain of {len(records)} records is whole.")
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
            moves(decision.groups),
            decision.reason or "-",
            datetime.fromtimestamp(decision.time).strftime("%Y-%m-%d %H:%M:%S"),
        )
    if records:
        OUT.print(table)
    else:
        tell(f"Nobody has changed the learning rate of {run}.")
