"""`rheostat replay`: do a run again, and see whether it comes to the same numbers."""

from typing import Annotated

import typer

from rheostat.cli.connection import dial, find_daemon
from rheostat.cli.failures import EXIT_FAILED
from rheostat.cli.options import Address, Json, RunName, StateDir
from rheostat.cli.run import end_in_order, follow
from rheostat.cli.terminal import print_json, say, tell
from rheostat.runs.records import Phase


def replay(
    run: RunName,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the run that did it again, to look at.")
    ] = False,
    as_json: Json = False,
    address: Address = None,
    state_dir: StateDir = None,
) -> None:
    """Train a run again from its spec, seed and history; compare every step bit for bit."""
    from rheostat.cli.comparing import compare

    end_in_order()
    with find_daemon(address, state_dir) as daemon, dial(daemon) as client:
        made = client.replay_run(run)
        origin = made.origin
        assert origin is not None  # it was made from a run
        assert origin.until is not None  # it is a replay
        say(f"{made.name} does steps {origin.step} to {origin.until - 1} of {run} again.")
        view = follow(client, made, daemon)
        equal, difference = compare(
            client.export_run(run), client.export_run(made.name), from_step=origin.step
        )
        is_whole = view.phase is Phase.SUCCEEDED or view.failure is not None
        if not keep and view.phase.is_final:
            client.delete_run(made.name)
    is_identical = difference is None or difference.step >= origin.until
    if as_json:
        print_json(
            {
                "run": run,
                "replay": made.name,
                "steps": equal,
                "identical": is_identical,
                "difference": None
                if difference is None or is_identical
                else {
                    "step": difference.step,
                    "column": difference.column,
                    run: difference.first,
                    made.name: difference.second,
                },
            },
            one_line=True,
        )
    elif is_identical:
        tell(f"identical: {equal} steps")
    elif difference is not None:
        tell(
            f"step {difference.step} differs after {equal} equal steps: {difference.column} was "
            f"{difference.first!r} and is {difference.second!r}"
        )
        if not is_whole:
            tell(f"{made.name} is {view.phase}: it has not come to its end")
    if not is_identical:
        raise typer.Exit(EXIT_FAILED)
