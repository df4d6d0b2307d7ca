"""LRs that the script's own loop tries out: what was asked, what each step has, what came of it."""

import math
import shutil
import time
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Protocol

from rheostat.attaching.building import Steered
from rheostat.attaching.saving import Errand
from rheostat.errors import FailedPrecondition
from rheostat.runs.messages import (
    Message,
    PauseCommand,
    ProbeCommand,
    Probed,
    StopCommand,
    ToTrainer,
)
from rheostat.steering.probes import bounds_of, with_learning_rate
from rheostat.trainer.peers import Peer
from rheostat.trainer.progress import Progress
from rheostat.trainer.refusals import refusal

PAUSED = "the run is paused: resume it first, since a probe trains"
NO_LOSS = (
    "the script has not told the loss of each step, and a probe compares losses: have it call "
    "run.step(loss) after each optimizer.step()"
)
NO_FINITE_LOSS = (
    "the script has told no finite loss of its newest step, and a probe compares losses: have it "
    "call run.step(loss) after each optimizer.step()"
)
ENDED = "the script ended before the probe did"


class Verdict(IntEnum):
    """What becomes of a trial after one more of its steps."""

    GO_ON = 0
    NEXT = 1
    """The script is brought back, and tries another LR."""
    DONE = 2
    """The script is brought back, and goes on with the run."""


class Telling(Protocol):
    """Passes on what was said, and keeps what is to be heard later."""

    def tell(self, *messages: Message) -> None:
        """Have messages sent at the next step."""
        ...

    def warn(self, text: str) -> None:
        """Have something told that whoever looks after the run should know, once."""
        ...

    def report(self) -> None:
        """Tell all that has happened until here."""
        ...

    def hear_later(self, commands: list[ToTrainer]) -> None:
        """Have commands carried out at the next step of the run."""
        ...

    def wake(self) -> None:
        """Have the next step of the run not passed over, though nobody asks for anything."""
        ...


class ScriptProber:
    """Decides what is tried, in the process that talks to the daemon.

    The steps of a trial are none of the run: steering does not advance, nobody is asked and nothing
    is recorded. What arrives meanwhile waits for the next step of the run; a pause or a stop, or
    the loss of the daemon, which nobody outlives to hear the answer, ends the probe.

    Args:
        steered: the script's LRs.
        progress: of the run, which stays where it is.
        link: where commands come from.
        folder: for what the script is brought back to.
        telling: takes answers, and commands for later.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        steered: Steered,
        progress: Progress,
        link: Peer,
        folder: Path,
        telling: Telling,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._steering = steered.steering
        self._script = steered.script
        self._planned = steered.steps
        self._progress = progress
        self._link = link
        self._folder = folder
        self._telling = telling
        self._clock = clock
        self._asked: list[ProbeCommand] = []
        self._asked_at = 0
        self._losses: list[list[float]] = []
        self._handed_out = 0
        self._first: list[float] = []
        self._began = 0.0
        self._problem = ""
        self._is_interrupted = False
        shutil.rmtree(folder, ignore_errors=True)  # left by a script that was killed

    @property
    def is_asked(self) -> bool:
        """Whether somebody waits for a probe."""
        return bool(self._asked)

    def ask(self, command: ProbeCommand, *, is_paused: bool) -> list[Message]:
        """Take a probe, to be made after the step begun, or return its refusal."""
        if is_paused:
            return [refusal(command.command_id, FailedPrecondition(PAUSED))]
        if not self._asked:
            self._asked_at = self._progress.step
        # A daemon that has lost its connection asks again.
        if all(one.command_id != command.command_id for one in self._asked):
            self._asked.append(command)
        return []

    def refuse(self, why: str) -> list[Message]:
        """Return the refusals of what was asked for and not got."""
        asked, self._asked = self._asked, []
        return [refusal(one.command_id, FailedPrecondition(why)) for one in asked]

    def look(self) -> list[Message]:
        """Refuse what waits although a step has gone by: nobody has called `run.step` after it."""
        return self.refuse(NO_LOSS) if self._progress.step > self._asked_at else []

    def put_off(self) -> None:
        """Let what is asked wait for one more step."""
        self._asked_at = self._progress.step

    def begin(self) -> Errand | None:
        """Return the next probe that can be made; None where nothing is left to try."""
        while self._asked:
            command = self._asked[0]
            if (why := self._hindrance(command)) is None:
                # What has happened until here is told before, and steering is at this step.
                self._telling.report()
                self._losses, self._handed_out, self._problem = [[]], 0, ""
                self._is_interrupted = False
                self._began = self._clock()
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder.mkdir(parents=True)
                return Errand(folder=self._folder, is_probe=True)
            self._close(why)
        return None

    def rates(self, own: list[float]) -> list[float]:
        """Return the LRs of the step that is to be tried.

        Args:
            own: what the script wants them to be, one per group.
        """
        command, groups = self._asked[0], self._steering.groups
        names = command.groups or tuple(group.name for group in groups)
        lr = command.learning_rates[len(self._losses) - 1]
        step = self._progress.step + len(self._losses[-1])
        if not self._losses[-1]:
            self._compare(own)
        with self._script.as_if(step, own):
            return with_learning_rate(groups, names, lr, step)

    def miss(self) -> None:
        """Take note of a step after which nobody has called `run.step`."""
        self._problem = NO_LOSS

    def judge(self, loss: float | None) -> Verdict:
        """Return what becomes of the trial after a step with this loss."""
        command, losses = self._asked[0], self._losses[-1]
        self._handed_out += 1
        self._look_up()
        if loss is None:
            self._problem = NO_LOSS
        else:
            losses.append(loss)
        if self._problem or self._is_interrupted:
            return Verdict.DONE
        if loss is not None and math.isfinite(loss) and len(losses) < command.steps:
            return Verdict.GO_ON
        if len(self._losses) == len(command.learning_rates):
            return Verdict.DONE
        self._losses.append([])
        return Verdict.NEXT

    def finish(self, problem: str = "") -> None:
        """Answer, now that the script is where it was.

        Args:
            problem: why the probe could not be made; empty where it was.
        """
        shutil.rmtree(self._folder, ignore_errors=True)
        problem = problem or self._problem
        if problem:
            self._close(problem)
        elif not self._is_interrupted:
            self._telling.tell(self._found(self._asked.pop(0)))

    def _compare(self, own: list[float]) -> None:
        """Warn of a schedule that goes on while the script is brought back."""
        if len(self._losses) == 1:
            self._first = own
        elif self._first != own:
            self._telling.warn(
                f"restore= does not bring the script's schedule back: in a probe at step "
                f"{self._progress.step} it wanted {self._first} for the first LR, and {own} for "
                "the next; it has lost as many steps as were tried"
            )

    def _close(self, why: str) -> None:
        command = self._asked.pop(0)
        self._telling.tell(refusal(command.command_id, FailedPrecondition(why)))

    def _hindrance(self, command: ProbeCommand) -> str | None:
        """Return why a probe cannot be made here; None where it can."""
        if self._progress.train_loss is None:
            return NO_FINITE_LOSS
        needed = len(command.learning_rates) * command.steps
        if self._planned is not None and self._planned - self._progress.step < needed:
            left = self._planned - self._progress.step
            return (
                f"the script's loop, which makes the steps of a probe, has {left} left, and this "
                f"one would take {needed}: try fewer LRs, or fewer steps with each"
            )
        return None

    def _look_up(self) -> None:
        """Look for orders, as is done before each step of the run."""
        heard = self._link.receive()
        if any(isinstance(one, PauseCommand | StopCommand) for one in heard):
            self._is_interrupted = True  # and refused when that is carried out
        elif self._link.is_congested:
            self._problem = "the daemon is gone"
        asked = self._asked[0].command_id
        late = [one for one in heard if getattr(one, "command_id", None) != asked]
        if late:
            self._telling.hear_later(late)

    def _found(self, command: ProbeCommand) -> Probed:
        groups, lrs = self._steering.groups, command.learning_rates
        names = command.groups or tuple(group.name for group in groups)
        used, guardrails = bounds_of(groups, names, lrs)
        return Probed(
            command_id=command.command_id,
            step=self._progress.step,
            losses=tuple(map(tuple, self._losses)),
            used=used,
            guardrails=guardrails,
            seconds=self._clock() - self._began,
            batches=self._handed_out,
        )
