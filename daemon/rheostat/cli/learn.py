"""The noun `learn`: controllers of the LR that are trained."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from rheostat.cli.failures import EXIT_INTERRUPTED
from rheostat.cli.options import Json
from rheostat.cli.terminal import ERR, print_json, say, tell
from rheostat.errors import FailedPrecondition
from rheostat.steering.wording import number

if TYPE_CHECKING:
    from rheostat.learning.evaluation.protocol import Evaluation
    from rheostat.learning.ppo import Progress as Trained

_RESULTS = "results.jsonl"
_PICTURES = "learned"
"""Folder of the figures, beside the page that shows them."""

Roots = Annotated[
    list[str] | None,
    typer.Option(
        "--root",
        metavar="DATA=DIR",
        help="Folder of a data set's files, e.g. mnist=data/mnist; may be repeated.",
        show_default=False,
    ),
]

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
    roots: Roots = None,
    as_json: Json = False,
) -> None:
    """Train a controller by proximal policy optimization."""
    with _extra():
        from rheostat.learning import configuration, ppo
    read = configuration.read_configuration(config, _roots(roots or []))
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


@app.command()
def evaluate(
    config: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="What to compare: a YAML or JSON file.", show_default=False
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where the results of the runs go; learned/NAME by default.",
            show_default=False,
        ),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Markdown file that takes tables and figures between its two marks.",
            show_default=False,
        ),
    ] = None,
    roots: Roots = None,
    as_json: Json = False,
) -> None:
    """Compare a controller with tuned schedules; what is known already is not run again."""
    with _extra():
        from rheostat.learning.evaluation import figures, protocol, report, settings
    plan = settings.read_plan(config, _roots(roots or []))
    if page is not None:
        report.check_page(page)
    folder = out or Path("learned") / plan.name
    evaluation = protocol.Evaluation(plan, folder / _RESULTS)
    try:
        _watch(evaluation)
    except KeyboardInterrupt:
        say(f"Interrupted; the same command goes on from the results in {folder}.")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if page is not None:
        pictures = page.parent / _PICTURES
        pictures.mkdir(exist_ok=True)
        for result in evaluation.results:
            figures.draw(result, pictures / f"{result.task.name}.svg", plan.policy.every)
        report.write_between_marks(page, report.markdown(evaluation.results, _PICTURES))
        say(f"{page} has the tables, {pictures} the figures.")
    if as_json:
        print_json([report.shape(result) for result in evaluation.results])
    elif page is None:
        tell(report.markdown(evaluation.results))


def _roots(given: list[str]) -> dict[str, str]:
    """Return folders by data set, from what is written as `mnist=data/mnist`."""
    pairs = [entry.partition("=") for entry in given]
    for name, equals, folder in pairs:
        if not (name and equals and folder):
            message = f"{name}{equals}{folder} must be DATA=DIR, e.g. mnist=data/mnist"
            raise typer.BadParameter(message, param_hint="--root")
    return {name: folder for name, _, folder in pairs}


@contextmanager
def _extra() -> Iterator[None]:
    """Say what to install where an import of the block fails."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise FailedPrecondition(
            f"learning needs more than Rheostat itself ({error}): pip install 'rheostat[learn]'"
        ) from error


def _watch(evaluation: "Evaluation") -> None:
    """Show an evaluation until it is done."""
    columns = (
        TextColumn("run {task.completed}/{task.total}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[doing]}", markup=False),
        TimeRemainingColumn(),
    )
    told = ""
    with Progress(*columns, console=ERR, disable=not ERR.is_terminal) as bar:
        task = bar.add_task("", total=evaluation.runs, doing="")
        for progress in evaluation.run():
            bar.update(task, completed=progress.runs, doing=progress.doing)
            what = f"{progress.task}: {progress.family}"
            if not ERR.is_terminal and what != told:
                say(f"run {progress.runs}/{progress.of}  {what}")
            told = what


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
