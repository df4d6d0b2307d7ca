"""The command line as a whole: its verbs, its global options, its exit codes."""

import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from rheostat.cli import changes, lr, plan, run, runs, serve, specs, token
from rheostat.cli.failures import Verbs
from rheostat.cli.options import ADDRESS_HELP, STATE_DIR_HELP

_ACCESS = "What is presented to a daemon"

app = typer.Typer(
    name="rheostat",
    cls=Verbs,
    help="Train a model, and change its learning rate while it trains.",
    epilog="Exit codes: 0 ok, 1 failed, 2 usage or invalid spec, 3 daemon unreachable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"rheostat {version('rheostat')}")
        raise typer.Exit


@app.callback()
def root(
    address: Annotated[str | None, typer.Option(help=ADDRESS_HELP)] = None,
    state_dir: Annotated[str | None, typer.Option(help=STATE_DIR_HELP)] = None,
    ca: Annotated[
        str | None,
        typer.Option(
            envvar="RHEOSTAT_CA",
            metavar="FILE",
            rich_help_panel=_ACCESS,
            help="CA of the daemon's certificate (PEM); with it TLS is spoken.",
        ),
    ] = None,
    cert: Annotated[
        str | None,
        typer.Option(
            envvar="RHEOSTAT_CERT",
            metavar="FILE",
            rich_help_panel=_ACCESS,
            help="Certificate to present (PEM).",
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            envvar="RHEOSTAT_KEY",
            metavar="FILE",
            rich_help_panel=_ACCESS,
            help="Private key of that certificate (PEM).",
        ),
    ] = None,
    server_name: Annotated[
        str | None,
        typer.Option(
            envvar="RHEOSTAT_SERVER_NAME",
            rich_help_panel=_ACCESS,
            help="Name in the daemon's certificate, where a tunnel hides it.",
        ),
    ] = None,
    token_file: Annotated[
        str | None,
        typer.Option(
            envvar="RHEOSTAT_TOKEN_FILE",
            metavar="FILE",
            rich_help_panel=_ACCESS,
            help="Bearer token to present; RHEOSTAT_TOKEN may hold the token itself.",
        ),
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure",
            envvar="RHEOSTAT_INSECURE",
            rich_help_panel=_ACCESS,
            help="Let the token travel to another machine without TLS.",
        ),
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Train a model, and change its learning rate while it trains."""


app.command("run")(run.run)
app.command("plan")(plan.plan)
app.command("validate")(specs.validate)
app.command("schema")(specs.schema)
app.command("serve")(serve.serve)
app.command("token")(token.token)
app.add_typer(runs.app, name="runs")
lr.app.add_typer(changes.app)
app.add_typer(lr.app, name="lr")


def main() -> None:
    """Run the command line; the entry point of the `rheostat` script."""
    # As `python -m` does for the trainer: `my_module:factory` is found beside the spec's user.
    sys.path.insert(0, os.getcwd())
    app()
