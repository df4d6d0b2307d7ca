"""Runs as a table: of one daemon, or of several with the pods they live in."""

from collections.abc import Sequence
from dataclasses import dataclass

from rheostat.cli.phrases import compact_rates, number, percent
from rheostat.cli.shapes import finished_steps, newest, run_row
from rheostat.cli.terminal import OUT, make_table, print_json
from rheostat.runs.records import RunView

_COLUMNS = ("run", "phase", "step", "train loss", "validation loss", "accuracy", "learning rate")
_NUMBERS = _COLUMNS[2:6]


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a cluster a run's daemon lives."""

    namespace: str
    pod: str


def print_runs(views: Sequence[RunView], *, as_json: bool) -> None:
    """Print the runs of one daemon."""
    if as_json:
        print_json([run_row(view) for view in views])
        return
    table = make_table(*_COLUMNS, numbers=_NUMBERS)
    for view in views:
        table.add_row(*_cells(view))
    OUT.print(table)


def print_placed_runs(runs: Sequence[tuple[Place, RunView]], *, as_json: bool) -> None:
    """Print the runs of several daemons, each with its place."""
    if as_json:
        print_json(
            [
                {"namespace": place.namespace, "pod": place.pod, **run_row(view)}
                for place, view in runs
            ]
        )
        return
    table = make_table("namespace", "pod", *_COLUMNS, numbers=_NUMBERS)
    for place, view in runs:
        table.add_row(place.namespace, place.pod, *_cells(view))
    OUT.print(table)


def _cells(view: RunView) -> tuple[str, ...]:
    return (
        view.name,
        str(view.phase),
        f"{finished_steps(view)}/{view.steps or '?'}",
        number(newest(view, "train_loss")),
        number(newest(view, "validation_loss")),
        percent(newest(view, "validation_accuracy")),
        compact_rates(view.snapshot.groups) if view.snapshot else "-",
    )
