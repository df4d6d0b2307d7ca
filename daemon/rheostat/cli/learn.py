"""The noun `learn`: controllers of the LR that are trained."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from rheostat.cli.failures import EXIT_INTERRUPTED
from rheostat.cli.options import Json
from rheostat.cli.phrases import number
from rheostat.cli.terminal import ERR, print_json, say, tell
from rheostat.errors import FailedPrecondition

if TYPE_CHECKING:
    from rheostat.learning.ppo import Progress as Trained

app = typer.Typer(help="Train controllers of the learning rate.", no_args_is_help=True)


@app.callback()
def learn() -> None:
    """Train controllers of the learning rate."""


@app.command()
def ppo(
    config: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="What to train: a YAML or JSON file.", show_default=False
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where the policy file and the checkpoints go; learned/NAME by default.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest checkpoint there.")
    ] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write for TensorBoard too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train a controller by proximal policy optimization."""
    try:
        from rheostat.learning import configuration, ppo
    except ModuleNotFoundError as error:
        raise FailedPrecondition(
            f"learning needs more than Rheostat itself ({error}): pip install 'rheostat[learn]'"
        ) from error
    read = configuration.read_configuration(config)
    folder = out or Path("learned") / read.name
    trained = ppo.train(read, folder, resume=resume, tensorboard=tensorboard)
    try:
        last = _follow(trained)
    except KeyboardInterrupt:
        say(f"Interrupted; go on from the newest checkpoint in {folder} with --resume.")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    path = folder / ppo.POLICY_FILE
    if as_json:
        shape = {
            "policy": str(path),
            "updates": last.updates,
            "actions": last.actions,
            "improvement": last.improvement,
            "validation_loss": last.validation_loss,
        }
        print_json(shape, one_line=True)
    else:
        tell(f"{path} is the policy; attach it as learned, with the argument file.")


def _follow(trained: "Iterable[Trained]") -> "Trained":
    """Show a training until it is done, and return where it ended."""
    columns = (
        TextColumn("update {task.completed}/{task.total}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[state]}", markup=False),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=ERR, disable=not ERR.is_terminal) as bar:
        task = bar.add_task("", total=None, state="")
        for last in trained:
            bar.update(task, completed=last.updates, total=last.of, state=_state(last))
            if not ERR.is_terminal and last.updates:
                say(f"update {last.updates}/{last.of}  {_state(last)}")
    return last


def _state(progress: "Trained") -> str:
    """Return how the newest episodes ended, in a few words."""
    parts = [f"{progress.actions:,} actions"]
    if progress.improvement is not None:
        parts.append(f"improvement {progress.improvement:+.4f}")
    if progress.validation_loss is not None:
        parts.append(f"validation loss {number(progress.validation_loss)}")
    if progress.diverged:
        parts.append(f"{progress.diverged} of {progress.episodes} diverged")
    return "  ".join(parts)
