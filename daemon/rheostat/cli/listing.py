"""Runs as a table: of one daemon, or of several with the pods they live in."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from rheostat.cli.phrases import percent
from rheostat.cli.shapes import finished_steps, newest, run_row
from rheostat.cli.terminal import OUT, make_table, print_json
from rheostat.runs.records import RunView
from rheostat.steering.records import GroupState
from rheostat.steering.wording import number

_COLUMNS = ("run", "phase", "step", "train loss", "validation loss", "accuracy", "learning rate")
_NUMBERS = _COLUMNS[2:6]
_ROOM_FOR_ALL = 100
"""Characters of a line that hold every column; on a narrower terminal the accuracy is left out."""
_MIN_NAME = 16
"""Of a run's name that long or longer, so many characters stay in a line."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a cluster a run's daemon lives."""

    namespace: str
    pod: str


def print_runs(views: Sequence[RunView], *, as_json: bool, as_tree: bool = False) -> None:
    """Print the runs of one daemon; as a tree, each beneath the one it was made from."""
    if as_json:
        print_json([run_row(view) for view in views])
        return
    rows = []
    for indent, view in lineage(views) if as_tree else (("", view) for view in views):
        name, *others = _cells(view)
        made = _made(view) if as_tree else ""
        rows.append((f"{indent}{name}{made}", *others))
    OUT.print(_table((), rows))


def lineage(views: Sequence[RunView]) -> Iterator[tuple[str, RunView]]:
    """Yield runs, each followed by those made from it, with the branches drawn before their names.

    One whose origin is not among them, because it was deleted, stands by itself.
    """
    names = {view.name for view in views}
    children: dict[str, list[RunView]] = {}
    for view in views:
        origin = view.origin.run if view.origin and view.origin.run in names else ""
        children.setdefault(origin, []).append(view)
    yield from _below("", "", children)


def _below(
    run: str, stem: str, children: Mapping[str, list[RunView]]
) -> Iterator[tuple[str, RunView]]:
    found = children.get(run, [])
    for view in found:
        is_last = view is found[-1]
        yield (stem + ("└ " if is_last else "├ ") if run else ""), view
        yield from _below(view.name, stem + ("  " if is_last else "│ ") if run else "", children)


def _made(view: RunView) -> str:
    """Return where a run begins that was made from another one, e.g. ` @1500`."""
    return f" @{view.origin.step}" if view.origin else ""


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
    rows = [(place.namespace, place.pod, *_cells(view)) for place, view in runs]
    OUT.print(_table(("namespace", "pod"), rows))


def _table(before: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return a table in which only names are broken into lines, and those as late as can be."""
    columns = [*before, *_COLUMNS]
    left_out = set() if OUT.width >= _ROOM_FOR_ALL else {columns.index("accuracy")}
    table = make_table(
        *(name for index, name in enumerate(columns) if index not in left_out), numbers=_NUMBERS
    )
    longest = max((len(row[len(before)]) for row in rows), default=0)
    for index, column in enumerate(table.columns):
        column.no_wrap = index > len(before)
        column.header = str(column.header).replace(" ", "\n") if left_out else column.header
        if index == len(before):
            column.min_width = min(longest, _MIN_NAME)
    for row in rows:
        table.add_row(*(cell for index, cell in enumerate(row) if index not in left_out))
    return table


def _cells(view: RunView) -> tuple[str, ...]:
    return (
        view.name,
        str(view.phase),
        f"{finished_steps(view)}/{view.steps or '?'}",
        number(newest(view, "train_loss")),
        number(newest(view, "validation_loss")),
        percent(newest(view, "validation_accuracy")),
        _rates(view.snapshot.groups) if view.snapshot else "-",
    )


def _rates(groups: Sequence[GroupState]) -> str:
    """Return the LR of all groups, the lowest and the highest where they differ."""
    rates = [group.learning_rate for group in groups]
    if not rates:
        return "-"
    if min(rates) == max(rates):
        return number(rates[0])
    return f"{number(min(rates), 3)}\N{EN DASH}{number(max(rates), 3)}"
