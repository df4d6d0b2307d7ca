"""Results as a page: a table per task, written between two marks of a Markdown file."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from rheostat.errors import FailedPrecondition
from rheostat.learning.evaluation.comparison import compare, mean_and_deviation
from rheostat.learning.evaluation.contenders import CONTROLLER
from rheostat.learning.evaluation.protocol import Result, Row
from rheostat.spec.models import Spec

BEGIN = "<!-- rheostat learn evaluate: begin -->"
END = "<!-- rheostat learn evaluate: end -->"
KINDS = (
    (False, "Tasks it was never trained on"),
    (True, "Tasks it was trained on"),
)


def markdown(results: Sequence[Result], figures: str | None = None) -> str:
    """Return tables of unseen and of trained tasks, each under a heading of its own.

    A difference is the controller's mean loss less theirs, and p that of a paired t-test.

    Args:
        results: of the tasks that are done.
        figures: folder of the pictures, as the page must call it; None is a page without.
    """
    return "\n".join(_lines(results, figures))


def check_page(page: Path) -> None:
    """Refuse a page that has no place for a text.

    Raises:
        FailedPrecondition: if it cannot be read, or lacks a mark.
    """
    _apart(page)


def write_between_marks(page: Path, text: str) -> None:
    """Put a text in place of what stands between the two marks of a page.

    Raises:
        FailedPrecondition: if the page cannot be read, or lacks a mark.
    """
    before, after = _apart(page)
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")


def shape(result: Result) -> dict[str, Any]:
    """Return one task as `learn evaluate --json` prints it."""
    ours = result.row(CONTROLLER)
    rows = []
    for row in result.rows:
        mean, deviation = mean_and_deviation(row.losses)
        compared = compare(ours.losses, row.losses)
        rows.append(
            {
                "contender": row.contender.family,
                "setting": row.contender.setting,
                "rivals": row.rivals,
                "validation_loss": mean,
                "validation_loss_deviation": deviation,
                "validation_accuracy": _fmean(row, "validation_accuracy"),
                "test_loss": _fmean(row, "test_loss"),
                "test_accuracy": _fmean(row, "test_accuracy"),
                "diverged": sum(outcome.diverged for outcome in row.outcomes),
                "difference": compared.difference,
                "p": compared.p,
                "validation_losses": row.losses,
            }
        )
    return {"task": result.task.name, "trained": result.task.is_trained, "contenders": rows}


def _apart(page: Path) -> tuple[str, str]:
    """Return what stands before and behind the two marks of a page."""
    try:
        content = page.read_text()
    except OSError as error:
        raise FailedPrecondition(f"{page} cannot be read: {error.strerror}") from error
    before, begin, rest = content.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise FailedPrecondition(f"{page} must hold the lines {BEGIN} and {END}, in this order")
    return before, after


def _lines(results: Sequence[Result], figures: str | None) -> Iterator[str]:
    for is_trained, heading in KINDS:
        chosen = [result for result in results if result.task.is_trained == is_trained]
        if chosen:
            yield f"### {heading}\n"
        for result in chosen:
            yield from _table(result)
            if figures is not None:
                yield f"![{result.task.name}]({figures}/{result.task.name}.svg)\n"


def _table(result: Result) -> Iterator[str]:
    ours = result.row(CONTROLLER)
    seeds = len(ours.outcomes)
    yield f"**{result.task.name}**: {_described(result.task.spec)}; {seeds} seeds.\n"
    yield "| | setting | validation loss (sd) | accuracy | test loss | difference | p |"
    yield "|---|---|---|---|---|---|---|"
    for row in sorted(result.rows, key=lambda row: fmean(row.losses)):
        yield _line(row, ours)
    yield ""


def _line(row: Row, ours: Row) -> str:
    mean, deviation = mean_and_deviation(row.losses)
    name = f"**{row.contender.family}**" if row is ours else row.contender.family
    setting = row.contender.setting
    if row.rivals > 1:
        setting += f" (of {row.rivals})"
    diverged = sum(outcome.diverged for outcome in row.outcomes)
    loss = f"{mean:.4f} ({deviation:.4f})"
    if diverged:
        loss += f", {diverged} diverged"
    cells = [
        name,
        setting,
        loss,
        _written(_fmean(row, "validation_accuracy"), ".3f"),
        _written(_fmean(row, "test_loss"), ".4f"),
    ]
    if row is ours:
        cells += ["", ""]
    else:
        compared = compare(ours.losses, row.losses)
        cells += [f"{compared.difference:+.4f}", f"{compared.p:.2g}"]
    return f"| {' | '.join(cells)} |"


def _fmean(row: Row, name: str) -> float | None:
    """Return the mean of what is known, None where nothing is."""
    values = [getattr(outcome, name) for outcome in row.outcomes]
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _written(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _described(spec: Spec) -> str:
    """Return what is trained, on what, for how long."""
    hidden = spec.model.args.get("hidden", "")
    model = f"{spec.model.name} {hidden}".strip()
    length = f"{spec.train.steps} steps" if spec.train.steps else f"{spec.train.epochs:g} epochs"
    return (
        f"{model} on {spec.data.name}, {spec.optimizer.name}, batches of "
        f"{spec.data.batch_size}, {length}"
    )
