"""`rheostat plot`: runs as a picture."""

from pathlib import Path
from typing import Annotated

import typer

from rheostat.cli.connection import connect
from rheostat.cli.options import Address, StateDir
from rheostat.cli.plotting import check_plot_suffix
from rheostat.cli.terminal import tell
from rheostat.errors import FailedPrecondition, RheostatError

MAX_RUNS = 10
"""Of one picture: there are no more colours that an eye tells apart."""


def plot(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="One run, or several to compare.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="A .png, .svg or .pdf file; RUN.png by default.",
            show_default=False,
        ),
    ] = None,
    address: Address = None,
    state_dir: StateDir = None,
) -> None:
    """Draw losses and learning rates by step, and mark what was decided when."""
    from rheostat.cli.curves import curves_of
    from rheostat.cli.drawing import draw_runs

    names = list(dict.fromkeys(runs))
    if len(names) > MAX_RUNS:
        message = f"{len(names)} runs are too many for one picture: name at most {MAX_RUNS}"
        raise typer.BadParameter(message, param_hint="RUN...")
    file = output or Path(f"{names[0]}.png")
    check_plot_suffix(file, option="--output")
    with connect(address, state_dir) as client:
        curves = [
            curves_of(
                client.get_run(name).name,
                client.export_run(name),
                [record.decision for record in client.list_decisions(name)],
            )
            for name in names
        ]
    if all(len(one.train_loss.steps) == 0 for one in curves):
        raise FailedPrecondition(f"there is nothing to draw: {', '.join(names)} took no step yet")
    try:
        draw_runs(curves, file)
    except OSError as error:
        raise RheostatError(f"{file} cannot be written: {error.strerror or error}") from error
    tell(f"{', '.join(names)} in {file}")
