"""A probe as a picture: the loss of each trial by step, and the loss at the end by LR."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from rheostat.runs.trials import ProbeReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INCHES = (11.0, 4.5)
_HEADROOM = 1.5
"""How far above the highest loss at the start the axes reach; what diverges leaves the picture."""


def draw_probe(run: str, found: ProbeReport, file: Path) -> None:
    """Draw what a probe found.

    Args:
        run: whose it is.
        found: with at least one trial.
        file: where to; its suffix chooses the format.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=_INCHES, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    trials = sorted(found.trials, key=lambda trial: trial.learning_rate)
    colours = colormaps["viridis"]
    for index, trial in enumerate(trials):
        colour = colours(index / max(1, len(trials) - 1))
        label = f"{trial.learning_rate:.3g}{' (bent)' if trial.guardrails else ''}"
        steps = range(found.step, found.step + len(trial.losses))
        left.plot(steps, trial.losses, color=colour, linewidth=1.2, label=label)
        if trial.end_loss is not None:
            right.plot([trial.learning_rate], [trial.end_loss], "o", color=colour)
    ends = [(one.learning_rate, one.end_loss) for one in trials if one.end_loss is not None]
    right.plot([lr for lr, _ in ends], [end for _, end in ends], color="grey", zorder=0)
    right.set_xscale("log")
    _mark(right, found)
    _zoom(left, found)
    left.set_xlabel("optimizer step")
    left.set_ylabel("training loss")
    left.legend(title="learning rate", fontsize=7, ncols=2)
    right.set_xlabel("learning rate")
    right.set_ylabel("loss at the end")
    for axes in (left, right):
        axes.grid(alpha=0.25)
    figure.suptitle(f"{run} at step {found.step:,}, {found.steps} steps with each learning rate")
    figure.savefig(file, dpi=150)


def _mark(axes: "Axes", found: ProbeReport) -> None:
    for name, lr, style in (("lowest", found.lowest, ":"), ("steepest", found.steepest, "--")):
        if lr is not None:
            axes.axvline(lr, color="tab:red", linestyle=style, label=f"{name}, {lr:.3g}")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)


def _zoom(axes: "Axes", found: ProbeReport) -> None:
    """Let a trial that diverges leave the picture rather than flatten the others."""
    losses = [loss for trial in found.trials for loss in trial.losses if math.isfinite(loss)]
    starts = [trial.losses[0] for trial in found.trials if trial.losses]
    starts = [loss for loss in starts if math.isfinite(loss)]
    if losses and starts and max(losses) > (top := _HEADROOM * max(starts)) > min(losses):
        axes.set_ylim(top=top)
