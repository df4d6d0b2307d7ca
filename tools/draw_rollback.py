"""Draw docs/rollback.svg: a run of examples/rollback with its policy, without, and undisturbed.

`python tools/draw_rollback.py` trains the three, some seconds each, and prints their figures as
JSON; what docs/checkpoints.md says of them is written there. `--output FILE` draws elsewhere.
"""

import argparse
import json
import math
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from rheostat.cli.curves import Line, RunCurves, curves_of
from rheostat.client import Client
from rheostat.embedding import embedded
from rheostat.runs.records import Phase, RunView
from rheostat.steering.records import Change, Decision, Verb

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "rollback"
TOO_HIGH, AT_STEP = 300.0, 700
"""What the LR is multiplied by, and when."""
DOCS = ROOT / "docs"
BEGIN, END = "<!-- drawn by tools/draw_rollback.py -->", "<!-- end of what is drawn -->"
COLOURS = {"undisturbed": "tab:green", "with-rollback": "tab:blue", "without": "tab:red"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one of the runs went."""

    view: RunView
    curves: RunCurves
    undone: list[Line]
    """Losses of the steps that each rollback has undone."""

    @property
    def rollbacks(self) -> list[Decision]:
        """Those of it, in order."""
        return [one for one in self.curves.decisions if one.rollback is not None]

    @property
    def validation_loss(self) -> float:
        """The last one; infinite where the run did not come to its end."""
        result = self.view.result
        loss = None if result is None else result.validation_loss
        return float("inf") if loss is None else loss


def train(client: Client, name: str, *, mends: bool, disturbed: bool) -> Outcome:
    """Train the example.

    Args:
        client: of a daemon whose trainers find the example's data.
        name: of the run.
        mends: whether the policy may go back; else it only cuts the LR.
        disturbed: whether there is a garbage batch and somebody who sets the LR too high.
    """
    spec = yaml.safe_load((EXAMPLE / "rollback.yaml").read_text())
    spec["name"] = name
    spec["data"]["args"] = {"broken": disturbed}
    if not mends:
        spec["policies"][0]["args"]["back_steps"] = 0
    run = client.create_run(json.dumps(spec)).name
    if disturbed:
        _wait_beyond(client, run, Phase.QUEUED)
        client.pause_run(run)  # or it may be past that step before anybody has asked
        _wait_beyond(client, run, Phase.STARTING)
        change = Change(verb=Verb.SCALE, value=TOO_HIGH, at_step=AT_STEP, reason="a slip")
        client.change_learning_rate(run, change, wait=False)
        client.resume_run(run)
    for _ in client.watch_run(run):
        pass
    decisions = [one.decision for one in client.list_decisions(run)]
    undone = [one.revision for one in decisions if one.rollback is not None]
    return Outcome(
        view=client.get_run(run),
        curves=curves_of(run, client.export_run(run), decisions),
        undone=[
            curves_of(run, client.export_run(run, undone=revision), []).train_loss
            for revision in undone
        ],
    )


def _wait_beyond(client: Client, run: str, phase: Phase) -> None:
    for event in client.watch_run(run):
        if event.view is not None and event.view.phase is not phase:
            return


def draw(outcomes: dict[str, Outcome], file: Path) -> None:
    """Draw the losses of all of them over each other, and what was undone as dots."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "rheostat"
    figure = Figure((8.0, 3.6), layout="constrained")
    axes = figure.subplots()
    for name, one in outcomes.items():
        _draw_one(axes, name, one)
    axes.set_yscale("log")
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("training loss, mean of 10 steps")
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8)
    figure.savefig(file, metadata={"Date": None})


def _draw_one(axes: "Axes", name: str, one: Outcome) -> None:
    line, colour = one.curves.train_loss.averaged(10).thinned(200), COLOURS[name]
    label = f"{name}: {_loss_of(one)}"
    axes.plot(line.steps, line.values, color=colour, linewidth=1.2, label=label)
    for undone in (line.thinned(30) for line in one.undone):
        axes.plot(undone.steps, undone.values, ".", color=colour, markersize=2.0, alpha=0.6)
    for decision in one.rollbacks:
        axes.axvline(decision.applied_step, color="tab:orange", linewidth=0.8)


def _loss_of(one: Outcome) -> str:
    if not math.isfinite(one.validation_loss):
        return f"none, {len(one.curves.train_loss.steps)} steps"
    return f"{one.validation_loss:.4g}"


def told(outcomes: dict[str, Outcome]) -> str:
    """Return the table for the page."""
    lines = ["| run | ends as | validation loss | went back |", "|---|---|---|---|"]
    for name, one in outcomes.items():
        went = ", ".join(
            f"{edit.from_step} to {edit.to_step} around {edit.skip} batches"
            for edit in (decision.rollback for decision in one.rollbacks)
            if edit is not None
        )
        lines.append(f"| {name} | {one.view.phase} | {_loss_of(one)} | {went or 'never'} |")
    return "\n".join(lines)


def write_page(table: str) -> None:
    """Write the table into docs/checkpoints.md."""
    file = DOCS / "checkpoints.md"
    before, begin, rest = file.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, f"{file} has lost its {BEGIN}"
    assert end, f"{file} has lost its {END}"
    file.write_text(f"{before}{begin}\n{table}\n{end}{after}")


def main() -> int:
    """Train, draw and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, help="draw here, and leave the page as it is")
    output = parser.parse_args().output
    os.environ["PYTHONPATH"] = str(EXAMPLE)
    with (
        tempfile.TemporaryDirectory() as folder,
        embedded(Path(folder)) as daemon,
        Client(daemon.address) as client,
    ):
        outcomes = {
            "undisturbed": train(client, "undisturbed", mends=True, disturbed=False),
            "with-rollback": train(client, "with-rollback", mends=True, disturbed=True),
            "without": train(client, "without", mends=False, disturbed=True),
        }
    draw(outcomes, output or DOCS / "rollback.svg")
    if output is None:
        write_page(told(outcomes))
    figures = {
        name: {
            "phase": one.view.phase,
            "validation_loss": one.validation_loss,
            "rollbacks": len(one.rollbacks),
        }
        for name, one in outcomes.items()
    }
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
