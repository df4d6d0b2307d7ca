"""The verb `run`: train a spec, watch it, and say how to steer it meanwhile."""

import json
import signal
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from rheostat.cli import connection
from rheostat.cli.connection import Daemon
from rheostat.cli.failures import EXIT_FAILED, EXIT_INTERRUPTED
from rheostat.cli.following import Display, make_display
from rheostat.cli.options import Address, Json, Overrides, SpecFile, StateDir
from rheostat.cli.results import print_failure, result_table
from rheostat.cli.shapes import finished_steps, run_result
from rheostat.cli.specs import check, read_spec, with_deep_violations
from rheostat.cli.terminal import ERR, OUT, print_json, say, tell
from rheostat.errors import FailedPrecondition, InvalidSpec, Unreachable, Violation
from rheostat.runs.records import Phase, RunView

if TYPE_CHECKING:
    from rheostat.client import Client


def run(
    spec: SpecFile,
    detach: Annotated[
        bool, typer.Option("--detach", help="Leave the run with the daemon and return at once.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="Call the run this.", show_default=False)] = None,
    priority: Annotated[
        int, typer.Option(help="Of runs that wait, the one with the highest starts first.")
    ] = 0,
    overrides: Overrides = None,
    as_json: Json = False,
    address: Address = None,
    state_dir: StateDir = None,
) -> None:
    """Train a spec and watch it; steer it from a second terminal."""
    end_in_order()
    document = read_spec(spec, overrides, name)
    check(document)
    text = json.dumps(document, ensure_ascii=False)
    with connection.find_daemon(address, state_dir) as daemon, connection.dial(daemon) as client:
        if detach and daemon.is_embedded:
            raise Unreachable("no daemon to leave the run with; start one with: rheostat serve")
        view = client.create_run(text, priority=priority)
        target = target_of(address, state_dir)
        say_how_to_steer(view, daemon, target)
        if not detach:
            view = follow(client, view, daemon)
    if as_json:
        print_json(run_result(view), one_line=True)
    elif detach:
        tell(view.name)
    else:
        print_end(view, target)
    if view.phase is Phase.FAILED:
        _fail(view, document)


def end_in_order() -> None:
    """Take what ends a terminal or a job as Ctrl-C: a run of our own is validated and saved."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


def _fail(view: RunView, document: dict[str, Any]) -> NoReturn:
    """Say why a run failed; where its spec is the reason, with every mistake and not the first."""
    if view.failure is not None and view.failure.violations:
        found = [
            Violation(each.field, each.value, each.expected) for each in view.failure.violations
        ]
        raise InvalidSpec(with_deep_violations(document, found))
    print_failure(view)
    raise typer.Exit(EXIT_FAILED)


def follow(client: "Client", view: RunView, daemon: Daemon) -> RunView:
    """Watch a run until it ends, or until Ctrl-C where it can go on without us.

    With a daemon of our own, Ctrl-C stops the run at its next step, as `runs stop` does; a second
    one gives up at once.
    """
    revision, asked_to_stop = 0, False
    with make_display(ERR) as display:
        while True:
            try:
                for event in client.watch_run(view.name, after_revision=revision):
                    display.show(event)
                    if event.decision is not None:
                        revision = event.decision.revision
                return client.get_run(view.name)
            except KeyboardInterrupt:
                if asked_to_stop:
                    raise typer.Exit(EXIT_INTERRUPTED) from None
                if not daemon.is_embedded:
                    display.say(f"Detached; {view.name} goes on at {daemon.address}.")
                    return client.get_run(view.name)
                asked_to_stop = True
                _stop(client, view.name, display)


def _stop(client: "Client", run: str, display: Display) -> None:
    display.say("Stopping at the next step; press Ctrl-C again to give up at once.")
    try:
        client.stop_run(run)
    except FailedPrecondition:
        display.say("The run has just ended.")


def target_of(address: str | None, state_dir: str | None) -> str:
    """Return the options with which another terminal finds the same daemon."""
    if address is not None:
        return f" --address {address}"
    return f" --state-dir {state_dir}" if state_dir is not None else ""


def say_how_to_steer(view: RunView, daemon: Daemon, target: str) -> None:
    """Say what a second terminal can do."""
    say(f"{view.name} is {view.phase}. Steer it from a second terminal:")
    say(f'  rheostat lr scale {view.name} 0.5 --reason "too noisy"{target}')
    say(f"  rheostat lr show {view.name}{target}")
    if daemon.metrics_address is not None:
        say(f"Metrics: http://{daemon.metrics_address}/metrics")


def print_end(view: RunView, target: str) -> None:
    """Print how a run ended or where it stands, and what can be done next."""
    OUT.print(result_table(view))
    if view.phase.is_final and finished_steps(view):
        tell("next:")
        if view.phase is not Phase.SUCCEEDED:
            tell(f"  rheostat runs resume {view.name}{target}")
        tell(f"  rheostat lr history {view.name}{target}")
        tell(f"  rheostat runs export {view.name} {view.name}.csv{target}")
    elif not view.phase.is_final:
        tell(f"watch it with: rheostat runs watch {view.name}{target}")
