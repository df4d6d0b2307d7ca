"""The command line as a whole: its verbs, its global options, its exit codes."""

import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from rheostat.cli import (
    agent,
    changes,
    checkpoint,
    learn,
    lr,
    mcp,
    plan,
    plot,
    policy,
    replay,
    run,
    runs,
    schedule,
    serve,
    specs,
    token,
)
from rheostat.cli.clusters import AllNamespaces, KubeContext, Namespace, Pod, ask
from rheostat.cli.credentials import Ca, Cert, Insecure, Key, ServerName, TokenFile, remember
from rheostat.cli.failures import Verbs
from rheostat.cli.options import ADDRESS_HELP, STATE_DIR_HELP

app = typer.Typer(
    name="rheostat",
    cls=Verbs,
    help="Train a model, and change its learning rate while it trains.",
    epilog="Exit codes: 0 ok, 1 failed, 2 usage or invalid spec, 3 daemon unreachable.",
    no_args_is_help=True,
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
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
    server_name: ServerName = None,
    token_file: TokenFile = None,
    insecure: Insecure = False,
    kube_context: KubeContext = None,
    namespace: Namespace = None,
    all_namespaces: AllNamespaces = False,
    pod: Pod = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Train a model, and change its learning rate while it trains."""
    remember(
        {
            "RHEOSTAT_CA": ca,
            "RHEOSTAT_CERT": cert,
            "RHEOSTAT_KEY": key,
            "RHEOSTAT_SERVER_NAME": server_name,
            "RHEOSTAT_TOKEN_FILE": token_file,
            "RHEOSTAT_INSECURE": "true" if insecure else None,
        }
    )
    ask(kube_context, namespace, all_namespaces, pod)


app.command("run")(run.run)
app.command("plan")(plan.plan)
app.command("plot")(plot.plot)
app.command("replay")(replay.replay)
app.command("validate")(specs.validate)
app.command("schema")(specs.schema)
app.command("serve")(serve.serve)
app.command("agent")(agent.agent)
app.command("token")(token.token)
app.command("mcp")(mcp.mcp)
app.add_typer(runs.app, name="runs")
lr.app.add_typer(changes.app)
app.add_typer(lr.app, name="lr")
app.add_typer(learn.app, name="learn")
app.add_typer(schedule.app, name="schedule")
app.add_typer(policy.app, name="policy")
app.add_typer(checkpoint.app, name="checkpoint")


def main() -> None:
    """Run the command line; the entry point of the `rheostat` script."""
    # As `python -m` does for the trainer: `my_module:factory` is found beside the spec's user.
    sys.path.insert(0, os.getcwd())
    app()
