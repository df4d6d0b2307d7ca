"""How a run ended, for people."""

from rich.table import Table
from rich.text import Text

from rheostat.cli.phrases import duration, percent
from rheostat.cli.shapes import finished_steps, newest
from rheostat.cli.terminal import ERR, complain
from rheostat.errors import Violation
from rheostat.runs.records import RunView
from rheostat.steering.wording import number


def result_table(view: RunView) -> Table:
    """Return where a run stands or how it ended, one line per fact."""
    seconds = None
    if view.started_at is not None and view.finished_at is not None:
        seconds = view.finished_at - view.started_at
    steps = finished_steps(view)
    facts = {
        "run": view.name,
        "phase": str(view.phase),
        "steps": f"{steps} of {view.steps or '?'}",
        "train loss": number(newest(view, "train_loss")),
        "validation loss": number(newest(view, "validation_loss")),
        "validation accuracy": percent(newest(view, "validation_accuracy")),
        "time": duration(seconds),
        "speed": f"{steps / seconds:,.0f} steps/s" if seconds and steps else "-",
        "device": view.device or "-",
        "weights": (view.result.weights if view.result else "") or "-",
    }
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for fact, value in facts.items():
        table.add_row(fact, Text(value))
    return table


def print_failure(view: RunView) -> None:
    """Print why a run failed: the spec's mistakes, else the trainer's own words."""
    failure = view.failure
    if failure is None:
        complain(f"{view.name} failed, and left no reason")
        return
    if failure.violations:
        for each in failure.violations:
            complain(str(Violation(each.field, each.value, each.expected)))
        return
    complain(failure.message)
    if failure.traceback:
        ERR.print(Text(failure.traceback.rstrip(), style="dim"), soft_wrap=True)
