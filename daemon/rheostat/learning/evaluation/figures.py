"""Results as pictures: what everybody's LR did, and where each run ended."""

import math
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from rheostat.learning.evaluation.contenders import BASE, CONTROLLER, STEP_DECAY
from rheostat.learning.evaluation.protocol import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DRAWN = (CONTROLLER, BASE, STEP_DECAY)
"""Whose LRs are drawn; more would hide each other."""
_INCHES = (9.0, 3.6)


def draw(result: Result, file: Path, every: int) -> None:
    """Draw a task: LRs on the left, final validation losses on the right.

    Args:
        result: of the task.
        file: the SVG; the same result gives the same bytes.
        every: steps of a window.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": result.task.name, "svg.fonttype": "none"}):
        figure = Figure(figsize=_INCHES, layout="constrained")
        left, right = figure.subplots(1, 2)
        _draw_rates(left, result, every)
        _draw_losses(right, result)
        figure.suptitle(result.task.name)
        figure.savefig(file, format="svg", metadata={"Date": None})


def _draw_rates(axes: "Axes", result: Result, every: int) -> None:
    for family in DRAWN:
        runs = [outcome.learning_rates for outcome in result.row(family).outcomes]
        # A geometric mean, as factors multiply; a run that diverged ends the curve.
        mean = [
            math.exp(fmean(math.log(max(rate, 1e-12)) for rate in window))
            for window in zip(*runs, strict=False)
        ]
        axes.plot([every * (index + 1) for index in range(len(mean))], mean, label=family)
    axes.set(yscale="log", xlabel="optimizer step", ylabel="LR, mean of the seeds")
    axes.legend(fontsize=7)


def _draw_losses(axes: "Axes", result: Result) -> None:
    rows = sorted(result.rows, key=lambda row: -fmean(row.losses))
    for height, row in enumerate(rows):
        color = "C0" if row.contender.family == CONTROLLER else "grey"
        axes.plot(row.losses, [height] * len(row.losses), ".", color=color, alpha=0.5)
        axes.plot([fmean(row.losses)], [height], "|", color=color, markersize=14)
    axes.set_yticks(range(len(rows)), [row.contender.family for row in rows], fontsize=7)
    axes.set(xscale="log", xlabel="final validation loss")
