"""What the daemon tells a loop to do, at the boundary where that arrives."""

from collections.abc import Callable, Sequence
from typing import Protocol

from rheostat.runs.messages import (
    Applied,
    ChangeCommand,
    EvaluateCommand,
    Kept,
    Message,
    PauseCommand,
    Paused,
    PolicyAnswer,
    PolicyVanished,
    ProbeCommand,
    ResumeCommand,
    Resumed,
    RollbackCommand,
    SaveCommand,
    SaveFailed,
    StopCommand,
    ToTrainer,
)
from rheostat.steering.records import Decision
from rheostat.steering.steering import Outcome, Steering
from rheostat.trainer.progress import Progress
from rheostat.trainer.refusals import refusal
from rheostat_policies import Action

Evaluate = Callable[[EvaluateCommand], Message]
"""Looks at the validation set and returns what was found, or why that cannot be."""


class Saves(Protocol):
    """Takes checkpoints when it is time to."""

    def ask(self, command: SaveCommand) -> None:
        """Have a checkpoint taken as soon as that can be."""
        ...

    def owe(self, reason: str) -> None:
        """Have a checkpoint taken because the run is going to stand still or to end."""
        ...


class Probes(Protocol):
    """Tries LRs out when it is time to."""

    def ask(self, command: ProbeCommand, *, is_paused: bool) -> list[Message]:
        """Take an operator's probe, or return its refusal."""
        ...

    def refuse(self, why: str) -> list[Message]:
        """Return the refusals of what operators have asked for and not got."""
        ...


class Obeying:
    """Carries out commands, and keeps what cannot be carried out yet.

    Args:
        steering: of the run.
        progress: of the run.
        saver: takes its checkpoints; None where none are taken.
        prober: tries LRs out.
        evaluate: looks at the validation set.
    """

    def __init__(
        self,
        steering: Steering,
        progress: Progress,
        saver: Saves | None,
        prober: Probes,
        evaluate: Evaluate,
    ) -> None:
        self.is_paused = False
        """Whether the loop is to stand still."""
        self.is_stopped = False
        """Whether a StopCommand has ended the run."""
        self._steering = steering
        self._progress = progress
        self._saver = saver
        self._prober = prober
        self._evaluate = evaluate
        self._waiting: list[ToTrainer] = []
        self._rollbacks: list[RollbackCommand] = []

    def obey(self, commands: Sequence[ToTrainer]) -> list[Message]:
        """Carry out commands, and return the answers to those that steering does not answer.

        What would decide something new waits for a step of which nothing is written down.
        """
        answers: list[Message] = []
        is_live = self._steering.is_live()
        if self._waiting and is_live:
            commands, self._waiting = [*self._waiting, *commands], []
        for command in commands:
            match command:
                case ChangeCommand() | PolicyAnswer() | PolicyVanished() | RollbackCommand() if (
                    not is_live
                ):
                    self._put_off(command)
                case RollbackCommand():
                    self._rollbacks.append(command)
                case ChangeCommand():
                    self._steering.submit(command.command_id, command.change)
                case PolicyAnswer():
                    self._steering.answer(command.policy, command.step, _action(command))
                case PolicyVanished():
                    self._steering.vanish(command.policy)
                case PauseCommand():
                    self.is_paused = True
                    answers += self._prober.refuse("the run was paused before it could be probed")
                    answers.append(Paused(step=self._progress.step))
                    self._owe("pause")
                case ResumeCommand():
                    self.is_paused = False
                    answers.append(Resumed(step=self._progress.step))
                case StopCommand():
                    self.is_stopped = True
                    answers += self._prober.refuse("the run was stopped before it could be probed")
                    self._owe("stop")
                case SaveCommand():
                    answers += self._ask_for_checkpoint(command)
                case ProbeCommand():
                    answers += self._prober.ask(command, is_paused=self.is_paused)
                case EvaluateCommand():
                    answers.append(self._evaluate(command))
        return answers

    def _put_off(self, command: ToTrainer) -> None:
        """Keep a command until the run is live; asked again by another daemon, it is kept once."""
        asked = _request_of(command)
        self._waiting = [one for one in self._waiting if not asked or _request_of(one) != asked]
        self._waiting.append(command)

    def take_rollbacks(self) -> list[RollbackCommand]:
        """Return who wants the run to go back, for when the boundary is settled."""
        taken, self._rollbacks = self._rollbacks, []
        return taken

    def _ask_for_checkpoint(self, command: SaveCommand) -> list[Message]:
        if self._saver is not None:
            self._saver.ask(command)
            return []
        text = "this run takes no checkpoints"
        step = self._progress.step
        return [SaveFailed(message=text, step=step, command_id=command.command_id)]

    def _owe(self, reason: str) -> None:
        if self._saver is not None:
            self._saver.owe(reason)


def answer_of(outcome: Outcome) -> Message:
    """Return what is said to whoever asked for a change."""
    if outcome.result is None:
        return Kept(command_id=outcome.ticket)
    if isinstance(outcome.result, Decision):
        return Applied(command_id=outcome.ticket, decision=outcome.result)
    return refusal(outcome.ticket, outcome.result)


def _action(answer: PolicyAnswer) -> Action:
    return Action(factor=answer.factor, ramp_steps=answer.ramp_steps, reason=answer.reason)


def _request_of(command: ToTrainer) -> tuple[str, bool] | None:
    """Return what tells that two commands ask for the same; None where nothing does."""
    if isinstance(command, RollbackCommand) and command.request_id:
        return command.request_id, False
    if isinstance(command, ChangeCommand) and command.change.request_id:
        return command.change.request_id, command.change.dry_run
    return None
