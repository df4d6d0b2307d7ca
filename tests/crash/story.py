"""One plan played with real processes, to its end."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from tests.crash.daemons import Daemon, wait_until
from tests.crash.evidence import Told, lasting
from tests.crash.operators import Operator
from tests.crash.plan import Blow, Moment, Plan, Victim
from tests.crash.watchers import Watcher

from rheostat.runs.records import Phase, RunView

_MOMENT_SECONDS = 4.0
"""How long a blow waits for its moment, before it falls anyway."""
_VICTIM_SECONDS = 20.0
"""How long a blow waits for the trainer that it is for: it may be starting."""
_FRUITLESS = 2
"""Trainers of a run that may die in a row before one must get farther: the daemon lets three."""


@dataclass(slots=True)
class Story:
    """What has happened."""

    told: dict[str, Told] = field(default_factory=dict)
    trainer_deaths: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """By run, in seconds of the monotonic clock."""
    daemon_deaths: list[float] = field(default_factory=list)
    killed: dict[str, int] = field(default_factory=lambda: {"trainer": 0, "daemon": 0})
    blows: list[str] = field(default_factory=list)
    """When each fell, and on whom."""
    seconds: float = 0.0
    """How long it took."""


def play(plan: Plan, state_dir: Path, story: Story) -> None:
    """Train the runs of a plan while its blows fall, and keep what happens.

    Raises:
        TimeoutError: if something that should happen does not.
    """
    stage = _Stage(plan, Daemon(state_dir, plan.pace), story)
    try:
        stage.play()
    finally:
        stage.clear()


class _Stage:
    def __init__(self, plan: Plan, daemon: Daemon, story: Story) -> None:
        self._plan = plan
        self._daemon = daemon
        self._story = story
        self._operators: list[Operator] = []
        self._watchers: dict[str, Watcher] = {}
        self._runs: list[str] = []
        self._fruitless: dict[str, int] = {}
        self._began = time.monotonic()

    def play(self) -> None:
        daemon, plan = self._daemon, self._plan
        daemon.start()
        with daemon.client() as client:
            self._runs = [
                client.create_run(msgspec.json.encode(spec).decode()).name for spec in plan.specs
            ]
            for run in self._runs:
                wait_until(
                    lambda run=run: client.get_run(run).phase is not Phase.QUEUED, f"{run} begins"
                )
        self._operators = [
            Operator(daemon, run, wishes)
            for run, wishes in zip(self._runs, plan.wishes, strict=True)
        ]
        self._watchers = {run: Watcher(daemon, run) for run in self._runs}
        for number, blow in enumerate(plan.blows):
            if plan.ends_under_fire and number == len(plan.blows) - 1:
                daemon.hurry()
            self._strike(blow)
        daemon.hurry()
        with daemon.client() as client:
            views = [self._end(client.get_run, run) for run in self._runs]
            for view, operator in zip(views, self._operators, strict=True):
                sights = lasting(
                    self._watchers[view.name].finish(),
                    self._story.daemon_deaths,
                    self._story.trainer_deaths[view.name],
                )
                self._story.told[view.name] = Told(view, operator.finish(), sights)
        daemon.stop()
        self._story.seconds = time.monotonic() - self._began

    def clear(self) -> None:
        """Leave no process behind."""
        self._daemon.kill()
        for run in self._runs:
            self._daemon.kill_trainer(run)

    def _strike(self, blow: Blow) -> None:
        run = self._runs[blow.run]
        if blow.victim in (Victim.TRAINER, Victim.BOTH):
            self._let_advance(run)
        with suppress(TimeoutError):
            self._await(blow, run)
        time.sleep(blow.delay)
        if blow.victim in (Victim.TRAINER, Victim.BOTH):
            with suppress(TimeoutError):
                self._await_victim(run)
        is_gentle = blow.victim is Victim.NOBODY
        now = time.monotonic()
        trainer = blow.victim in (Victim.TRAINER, Victim.BOTH) and self._daemon.kill_trainer(run)
        daemon = blow.victim in (Victim.DAEMON, Victim.BOTH) and self._daemon.kill()
        self._story.killed["trainer"] += trainer
        self._story.killed["daemon"] += daemon
        self._fruitless[run] = self._fruitless.get(run, 0) + trainer
        if trainer:
            self._story.trainer_deaths[run].append(now)
        if daemon:
            self._story.daemon_deaths.append(now)
        at = now - self._began
        self._story.blows.append(
            f"{at:.2f} s: {blow.victim} of {run} ({blow.moment} + {blow.delay:.3f} s), "
            f"{trainer + daemon} killed, absence {blow.absence:g} s"
        )
        if daemon or (is_gentle and self._daemon.stop()):
            time.sleep(blow.absence)
            self._daemon.start()

    def _await(self, blow: Blow, run: str) -> None:
        """Wait for the moment of a blow."""
        operator = self._operators[blow.run]
        match blow.moment:
            case Moment.ASKED | Moment.ANSWERED:
                is_asked = blow.moment is Moment.ASKED
                event = operator.has_asked if is_asked else operator.has_answer
                event.clear()
                event.wait(_MOMENT_SECONDS)
            case Moment.WRITING:
                wait_until(lambda: any(self._checkpoints(run, ".step-")), "", _MOMENT_SECONDS)
            case Moment.WRITTEN:
                known = set(self._checkpoints(run, "step-"))
                wait_until(
                    lambda: set(self._checkpoints(run, "step-")) - known, "", _MOMENT_SECONDS
                )
            case Moment.READY:
                log = self._daemon.trainers.folder_of(run) / "trainer.log"
                size = _size(log)
                wait_until(lambda: _size(log) > size, "", _VICTIM_SECONDS)

    def _await_victim(self, run: str) -> None:
        """Wait until a run has a trainer that can be killed, unless it has ended."""
        trainers = self._daemon.trainers
        weights = trainers.folder_of(run) / "model.safetensors"
        wait_until(
            lambda: (trainers.is_living(run) and trainers.pid_of(run)) or weights.exists(),
            "",
            _VICTIM_SECONDS,
        )

    def _checkpoints(self, run: str, prefix: str) -> Iterator[str]:
        folder = self._daemon.trainers.checkpoints_of(run)
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        return (name for name in names if name.startswith(prefix))

    def _let_advance(self, run: str) -> None:
        """Wait until a run gets farther than it was, where it would be given up otherwise."""
        if self._fruitless.get(run, 0) < _FRUITLESS:
            return

        wait_until(lambda: self._daemon.has_advanced(run), f"{run} gets farther")
        self._fruitless[run] = 0

    def _end(self, ask: Callable[[str], RunView], run: str) -> RunView:
        def ended() -> RunView | None:
            time.sleep(0.05)
            view = ask(run)
            return view if view.phase.is_final else None

        return wait_until(ended, f"{run} ends")


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
