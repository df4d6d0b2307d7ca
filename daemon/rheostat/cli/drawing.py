"""Runs as a picture: losses above, learning rates below, and a mark for each decision."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING

from rheostat.cli.curves import Line, RunCurves
from rheostat.steering.records import Decision
from rheostat.steering.wording import what, who

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INCHES = (10.0, 6.5)
_INCHES_PER_NOTE = 0.19
_LINES = ("-", "--", ":", "-.")
_COLOURS = {"operator": "tab:red", "policy": "tab:purple", "rollback": "tab:orange"}
_MAX_NUMBERED = 15
_NOTE_CHARACTERS = 130
_MAX_MARKED = 500
_LOG_FROM = 20.0
"""Highest over lowest LR from which on the axis is logarithmic."""
_SMOOTHED_SHARE = 100
"""The mean of the training loss is over this part of the run."""


def draw_runs(runs: Sequence[RunCurves], file: Path) -> None:
    """Draw one run with its decisions, or several over each other.

    Args:
        runs: at least one.
        file: where to; its suffix chooses the format.
    """
    from matplotlib.figure import Figure

    notes = list(_notes(runs[0])) if len(runs) == 1 else []
    width, height = _INCHES
    # pyplot would keep the figure, and choose a backend by what screen there is.
    figure = Figure((width, height + _INCHES_PER_NOTE * len(notes)), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    for index, run in enumerate(runs):
        _draw_losses(above, run, f"C{index}", is_alone=len(runs) == 1)
        _draw_rates(below, run, None if len(runs) == 1 else f"C{index}")
        _mark(run, above, below, None if len(runs) == 1 else f"C{index}")
    above.set_ylabel("loss")
    if all((line.values > 0).all() for run in runs for line in _losses(run)):
        above.set_yscale("log")
    below.set_ylabel("learning rate")
    if _spread(runs) > _LOG_FROM:
        below.set_yscale("log")
    below.set_xlabel("optimizer step")
    for axes in (above, below):
        axes.grid(alpha=0.25)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)
    above.set_title(", ".join(run.name for run in runs), pad=14)
    _write_notes(figure, notes)
    figure.savefig(file, dpi=150)


def _draw_losses(axes: "Axes", run: RunCurves, colour: str, *, is_alone: bool) -> None:
    raw, label = run.train_loss, "train" if is_alone else f"{run.name}, train"
    mean = raw.averaged(max(1, len(raw.steps) // _SMOOTHED_SHARE))
    _plot(axes, raw.thinned(), color=colour, alpha=0.25, linewidth=0.7)
    _plot(axes, mean.thinned(), color=colour, linewidth=1.2, label=label)
    if len(run.validation_loss.steps):
        label = "validation" if is_alone else f"{run.name}, validation"
        own = "tab:green" if is_alone else colour
        few = run.validation_loss.thinned()
        _plot(axes, few, color=own, linewidth=1.0, linestyle="--", label=label, marker=".")


def _draw_rates(axes: "Axes", run: RunCurves, colour: str | None) -> None:
    """Draw the LR of each group, and groups whose LRs are all the same once."""
    for index, (groups, line) in enumerate(_distinct(run)):
        name = ", ".join(shorten(group, 40, placeholder="…") for group in groups[:3])
        label = f"{name} and {len(groups) - 3} more" if len(groups) > 3 else name
        _plot(
            axes,
            line.thinned(),
            color=colour or f"C{index}",
            linestyle=_LINES[index % len(_LINES)] if colour else "-",
            linewidth=1.2,
            label=f"{run.name}, {label}" if colour else label,
        )


def _distinct(run: RunCurves) -> Iterator[tuple[list[str], Line]]:
    by_values: dict[bytes, list[str]] = {}
    for group, line in run.learning_rate.items():
        by_values.setdefault(line.values.tobytes(), []).append(group)
    for groups in by_values.values():
        yield groups, run.learning_rate[groups[0]]


def _mark(run: RunCurves, above: "Axes", below: "Axes", colour: str | None) -> None:
    """Draw a thin line where something was decided, in the colour of who did."""
    numbered = {decision.revision for decision in _numbered(run)}
    for decision in run.decisions[-_MAX_MARKED:]:
        own = colour or _COLOURS.get(decision.source.partition(":")[0], "grey")
        for axes in (above, below):
            axes.axvline(decision.applied_step, color=own, linewidth=0.7, alpha=0.6)
        if colour is None and decision.revision in numbered:
            above.annotate(
                str(decision.revision),
                (decision.applied_step, 1.0),
                xycoords=("data", "axes fraction"),
                color=own,
                fontsize=7,
                ha="center",
                va="bottom",
            )


def _numbered(run: RunCurves) -> list[Decision]:
    """Return the decisions that are told in words: people's first, the newest of too many."""
    ranked = sorted(run.decisions, key=lambda one: (one.source == "operator", one.revision))
    return sorted(ranked[-_MAX_NUMBERED:], key=lambda one: one.revision)


def _notes(run: RunCurves) -> Iterator[str]:
    numbered = _numbered(run)
    for decision in numbered:
        said = f"{decision.revision} step {decision.applied_step:,}: {who(decision)} "
        said += what(decision) + (f" ({decision.reason})" if decision.reason else "")
        yield shorten(said, _NOTE_CHARACTERS, placeholder=" …")
    if len(numbered) < len(run.decisions):
        yield f"and {len(run.decisions) - len(numbered):,} more: rheostat lr history {run.name}"


def _write_notes(figure: "Figure", notes: Sequence[str]) -> None:
    if notes:
        # A dollar sign would begin a formula.
        text = "\n".join(notes).replace("$", r"\$")
        figure.supxlabel(text, x=0.01, ha="left", fontsize=8, linespacing=1.5)


def _losses(run: RunCurves) -> tuple[Line, Line]:
    return run.train_loss, run.validation_loss


def _spread(runs: Sequence[RunCurves]) -> float:
    """Return how many times the lowest LR the highest is, zeros aside."""
    lines = [line.values for run in runs for line in run.learning_rate.values()]
    positive = [values[values > 0] for values in lines]
    positive = [values for values in positive if len(values)]
    if not positive:
        return 1.0
    lowest = min(float(values.min()) for values in positive)
    return max(float(values.max()) for values in positive) / lowest


def _plot(axes: "Axes", line: Line, **style: object) -> None:
    axes.plot(line.steps, line.values, **style)  # type: ignore[arg-type]
