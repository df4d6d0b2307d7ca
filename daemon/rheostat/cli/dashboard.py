"""A run on a terminal: where it stands, its curves, its policies, and what was decided last."""

import struct
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rheostat.cli.following import pace
from rheostat.cli.phrases import compact_factors, percent, policy_states
from rheostat.cli.sparkline import Trace, sparkline
from rheostat.runs.records import Phase, RunView, Snapshot, StepRows, WatchEvent
from rheostat.steering.records import Decision
from rheostat.steering.wording import decision_line, number

DECISIONS = 6
"""The newest that are shown."""
_MAX_GROUPS = 6
_FRAMES_PER_SECOND = 4
_LABEL, _VALUE = 20, 12
_PHASE_STYLES = {
    Phase.RUNNING: "green",
    Phase.SUCCEEDED: "green",
    Phase.PAUSED: "yellow",
    Phase.FAILED: "red",
}


class Dashboard:
    """Follows one run on a terminal of any width; a `Display` that stays as the run ended.

    Args:
        console: a terminal.
        decisions: those before the watching began, oldest first.
        rows: the steps before it, in order, so that curves begin where the run does.
    """

    def __init__(
        self,
        console: Console,
        decisions: Iterable[Decision] = (),
        rows: Iterable[StepRows] = (),
    ) -> None:
        self._console = console
        self._view: RunView | None = None
        self._snapshot: Snapshot | None = None
        self._loss, self._validation = Trace(), Trace()
        self._rates: dict[str, Trace] = {}
        self._decisions = deque(decisions, DECISIONS)
        self._validated_at: int | None = None
        for batch in rows:
            self._read(batch)
        self._live = Live(
            console=console, get_renderable=self.render, refresh_per_second=_FRAMES_PER_SECOND
        )

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.stop()

    def show(self, event: WatchEvent) -> None:
        """Take in one event of the watch stream."""
        if event.view is not None:
            self._view = event.view
        snapshot = event.snapshot or (event.view.snapshot if event.view else None)
        if snapshot is not None:
            self._take(snapshot)
        if event.decision is not None:
            self._decisions.append(event.decision)

    def say(self, text: str) -> None:
        """Print a line above the rest."""
        self._console.print(Text(text, style="cyan"), soft_wrap=True)

    def render(self) -> RenderableType:
        """Return all of it as it stands."""
        width = self._console.width
        parts: list[RenderableType] = [self._headline(), self._bar(), *self._curves(width)]
        parts += self._policies(width)
        parts += self._decided(width)
        return Group(*parts)

    def _take(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        step = max(0, snapshot.step - 1)
        self._loss.add(step, snapshot.train_loss)
        for group in snapshot.groups:
            self._rates.setdefault(group.name, Trace()).add(step, group.learning_rate)
        if snapshot.validation_step is not None:
            self._validate(snapshot.validation_step, snapshot.validation_loss)

    def _validate(self, step: int, loss: float | None) -> None:
        if step != self._validated_at:
            self._validated_at = step
            self._validation.add(step, loss)

    def _read(self, batch: StepRows) -> None:
        _add_all(self._loss, batch.first_step, batch.train_loss)
        for group, packed in batch.learning_rate.items():
            _add_all(self._rates.setdefault(group, Trace()), batch.first_step, packed)
        for step, loss in batch.validation_loss.items():
            self._validate(step, loss)

    def _headline(self) -> Text:
        view, snapshot = self._view, self._snapshot
        if view is None:
            return Text("waiting for the daemon")
        line = Text.assemble(
            (view.name, "bold"), " ", (str(view.phase), _PHASE_STYLES.get(view.phase, "cyan"))
        )
        if view.device:
            line.append(f" on {view.device}", "dim")
        if snapshot is not None and not view.phase.is_final:
            for one in pace(snapshot, view.steps):
                line.append(f"  {one}")
        line.truncate(self._console.width, overflow="ellipsis")
        return line

    def _bar(self) -> RenderableType:
        steps = (self._view.steps if self._view else None) or 0
        step = self._snapshot.step if self._snapshot else 0
        line = Table.grid(padding=(0, 1), expand=True)
        line.add_column(ratio=1)
        line.add_column(justify="right", no_wrap=True)
        bar = ProgressBar(total=steps or None, completed=step)
        line.add_row(bar, Text(f"step {step:,} of {steps:,}" if steps else f"step {step:,}"))
        return line

    def _curves(self, width: int) -> Iterator[Text]:
        yield _curve("train loss", self._loss, width, "cyan")
        if self._validation.last is not None:
            accuracy = self._snapshot.validation_accuracy if self._snapshot else None
            note = "" if accuracy is None else f" {percent(accuracy)} right"
            yield _curve("validation loss", self._validation, width, "green", note)
        for name in list(self._rates)[:_MAX_GROUPS]:
            label = "learning rate" if len(self._rates) == 1 else f"lr {name}"
            yield _curve(label, self._rates[name], width, "magenta")
        if len(self._rates) > _MAX_GROUPS:
            yield Text(f"and {len(self._rates) - _MAX_GROUPS} groups more", style="dim")

    def _policies(self, width: int) -> Iterator[Text]:
        for policy in self._snapshot.policies if self._snapshot else ():
            line = Text.assemble(
                f"{policy.name:<{_LABEL}.{_LABEL}} ",
                f"{compact_factors(policy.factors):>{_VALUE}} ",
                (" ".join(policy_states(policy)), "dim"),
            )
            line.truncate(width, overflow="ellipsis")
            yield line

    def _decided(self, width: int) -> Iterator[Text]:
        if self._decisions:
            yield Text("decided", style="bold")
        for decision in self._decisions:
            line = Text(decision_line(decision))
            line.truncate(width, overflow="ellipsis")
            yield line


def _add_all(trace: Trace, first_step: int, packed: bytes) -> None:
    for step, (value,) in enumerate(struct.iter_unpack("<d", packed), first_step):
        trace.add(step, value)


def _curve(label: str, trace: Trace, width: int, style: str, note: str = "") -> Text:
    """Return one line: what it is, its newest value, its course in the room that is left."""
    head = f"{label:<{_LABEL}.{_LABEL}} {number(trace.last):>{_VALUE}} "
    room = max(8, width - len(head) - len(note) - 1)
    return Text.assemble(head, (sparkline(trace.values, room), style), (note, "dim"))
