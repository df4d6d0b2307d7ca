"""The verb `serve`: the daemon in the foreground."""

from typing import Annotated, Literal

import typer

from rheostat.cli.connection import state_folder
from rheostat.cli.options import STATE_DIR_HELP

DEFAULT_ADDRESS = "127.0.0.1:50051"
DEFAULT_METRICS_ADDRESS = "127.0.0.1:9464"


def serve(
    state_dir: Annotated[
        str | None, typer.Option(envvar="RHEOSTAT_STATE_DIR", help=STATE_DIR_HELP)
    ] = None,
    address: Annotated[
        str, typer.Option(envvar="RHEOSTAT_ADDRESS", help="host:port for gRPC; loopback only.")
    ] = DEFAULT_ADDRESS,
    metrics_address: Annotated[
        str, typer.Option(help="host:port for /metrics, /healthz and /readyz.")
    ] = DEFAULT_METRICS_ADDRESS,
    max_concurrent_runs: Annotated[
        int, typer.Option(min=1, help="Runs that train at once; the others wait.")
    ] = 1,
    log_format: Annotated[
        Literal["human", "json"], typer.Option(help="Lines for people, or one JSON object each.")
    ] = "human",
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], typer.Option(help="Least level logged.")
    ] = "info",
) -> None:
    """Run the daemon until SIGTERM or Ctrl-C."""
    from rheostat import app

    app.serve(
        app.Settings(
            state_dir=state_folder(state_dir),
            address=address,
            metrics_address=metrics_address,
            max_concurrent_runs=max_concurrent_runs,
            log_format=log_format,
            log_level=log_level,
        )
    )
