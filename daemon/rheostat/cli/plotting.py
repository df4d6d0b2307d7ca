"""The planned learning rate as a picture."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rheostat.trainer.planning import Plan

_SUFFIXES = (".png", ".svg", ".pdf")
_MAX_POINTS = 2000
_INCHES = (9.0, 4.5)
_INCHES_WITH_MOMENTUM = (9.0, 7.0)


def check_plot_suffix(file: Path, *, option: str = "--plot") -> None:
    """Refuse a file whose suffix names no picture.

    Args:
        file: where the picture goes.
        option: the one that names it.

    Raises:
        typer.BadParameter: if it is not .png, .svg or .pdf.
    """
    if file.suffix not in _SUFFIXES:
        message = f"{file} must end in {', '.join(_SUFFIXES)}"
        raise typer.BadParameter(message, param_hint=option)


def draw(planned: "Plan", file: Path) -> None:
    """Draw the schedule of each group, its bounds as thin lines, and momentum where it moves."""
    from matplotlib.figure import Figure

    moving = {name: curve for name, curve in planned.curves.items() if curve.momentum}
    figure = Figure(figsize=_INCHES_WITH_MOMENTUM if moving else _INCHES, layout="constrained")
    axes = figure.subplots(2 if moving else 1, 1, sharex=True, squeeze=False)[:, 0]
    steps = _points(planned.steps)
    for name, curve in planned.curves.items():
        axes[0].plot(steps, [curve.learning_rate(step) for step in steps], label=name)
    _draw_bounds(axes[0], planned)
    axes[0].set_ylabel("learning rate")
    axes[0].legend()
    for name, curve in moving.items():
        if curve.momentum is not None:
            axes[1].plot(steps, [curve.momentum(step) for step in steps], label=name)
            axes[1].set_ylabel("momentum")
    axes[-1].set_xlabel("optimizer step")
    axes[0].set_title(f"{planned.optimizer}, {planned.data}, {planned.steps} steps")
    figure.savefig(file, dpi=150)


def _draw_bounds(axes: "Axes", planned: "Plan") -> None:
    """Draw the bounds, as long as they do not squeeze the curves into a line."""
    _, top = axes.get_ylim()
    bounds = {*planned.min_lr.values(), *planned.max_lr.values()}
    for bound in sorted(bounds):
        if 0 < bound <= 2 * top and math.isfinite(bound):
            axes.axhline(bound, color="grey", linewidth=0.6, linestyle="--")
            axes.annotate("guardrail", (0, bound), color="grey", fontsize=7, va="bottom")


def _points(steps: int) -> list[int]:
    stride = max(1, steps // _MAX_POINTS)
    return sorted({*range(0, steps, stride), steps - 1})
