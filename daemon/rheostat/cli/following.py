"""Live progress of a run: a bar on a terminal, now and then a line elsewhere."""

import time
from collections.abc import Iterator
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from rheostat.cli.phrases import compact_rates, duration
from rheostat.runs.records import Phase, RunView, Snapshot, WatchEvent
from rheostat.steering.wording import decision_line, number

_SECONDS_BETWEEN_LINES = 3.0


class Display(Protocol):
    """Where a run can be watched; a context manager that ends with the watching."""

    def show(self, event: WatchEvent) -> None:
        """Take in one event of the watch stream."""
        ...

    def say(self, text: str) -> None:
        """Print a line that stays."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(self, *exception: object) -> None: ...


def make_display(console: Console) -> Display:
    """Return the display that suits where the console prints to."""
    return Bar(console) if console.is_terminal else Lines(console)


class Bar:
    """A progress bar at the bottom; decisions scroll by above it."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[state]}", markup=False),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task("", total=None, state="")
        self._steps: int | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def show(self, event: WatchEvent) -> None:
        """Move the bar, or print the decision above it."""
        if event.view is not None:
            self._steps = event.view.steps
            description = f"{event.run} {event.view.phase}"
            self._progress.update(self._task, description=description, total=self._steps)
        snapshot = event.snapshot or (event.view.snapshot if event.view else None)
        if snapshot is not None:
            state = progress_line(snapshot, self._steps)
            self._progress.update(self._task, completed=snapshot.step, state=state)
        if event.decision is not None:
            self.say(decision_line(event.decision))

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(Text(text, style="cyan"), soft_wrap=True)


class Lines:
    """Plain lines for logs: phases and decisions at once, progress every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._steps: int | None = None
        self._phase: Phase | None = None
        self._last_line_at = float("-inf")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    def show(self, event: WatchEvent) -> None:
        """Print what the event says, unless a line like it was just printed."""
        if event.view is not None:
            self._show_view(event.view)
        elif event.decision is not None:
            self.say(decision_line(event.decision))
        elif event.snapshot is not None:
            now = time.monotonic()
            if now - self._last_line_at >= _SECONDS_BETWEEN_LINES:
                self._last_line_at = now
                self.say(progress_line(event.snapshot, self._steps))

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(Text(text), soft_wrap=True)

    def _show_view(self, view: RunView) -> None:
        self._steps = view.steps
        if view.phase != self._phase:
            self._phase = view.phase
            verb = "has" if view.phase.is_final else "is"
            self.say(f"{view.name} {verb} {view.phase}")


def progress_line(snapshot: Snapshot, steps: int | None) -> str:
    """Return where a run stands, e.g. `120/4000  loss 0.3  lr 0.001  1,950 steps/s  2.0 s left`."""
    parts = [
        f"{snapshot.step}/{steps or '?'}",
        f"loss {number(snapshot.train_loss)}",
        f"lr {compact_rates(snapshot.groups)}",
    ]
    return "  ".join([*parts, *pace(snapshot, steps)])


def pace(snapshot: Snapshot, steps: int | None) -> Iterator[str]:
    """Yield how fast a run trains and how long it still will, as far as that is known."""
    if not snapshot.steps_per_second:
        return
    yield f"{snapshot.steps_per_second:,.0f} steps/s"
    if steps:
        left = max(0, steps - snapshot.step) / snapshot.steps_per_second
        yield f"{duration(left)} left"
