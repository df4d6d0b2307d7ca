"""Runs as a table: of one daemon, or of several with the pods they live in."""

from collections.abc import Iterator, Mapping, Sequence
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


def print_runs(views: Sequence[RunView], *, as_json: bool, as_tree: bool = False) -> None:
    """Print the runs of one daemon; as a tree, each beneath the one it was made from."""
    if as_json:
        print_json([run_row(view) for view in views])
        return
    table = make_table(*_COLUMNS, numbers=_NUMBERS)
    for indent, view in lineage(views) if as_tree else (("", view) for view in views):
        name, *others = _cells(view)
        made = _made(view) if as_tree else ""
        table.add_row(f"{indent}{name}{made}", *others)
    OUT.print(table)


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
