"""What the daemon wants done between two steps of the script, in the process that talks to it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rheostat.attaching.building import Steered
from rheostat.attaching.probing import ScriptProber, Telling
from rheostat.attaching.saving import Checkpoint, Errand, ScriptSaver
from rheostat.errors import FailedPrecondition
from rheostat.runs.messages import Applied, RollbackCommand
from rheostat.steering.records import RollbackEdit
from rheostat.steering.remembering import recall
from rheostat.trainer.progress import Progress
from rheostat.trainer.refusals import refusal
from rheostat.trainer.returning import changes_after


class Orders:
    """Keeps what was asked for until the script can do it, and sees to the run when it has.

    Args:
        steered: the script's LRs.
        progress: of the run.
        saver: takes its checkpoints.
        prober: has LRs tried out.
        telling: passes on answers.
    """

    def __init__(
        self,
        steered: Steered,
        progress: Progress,
        saver: ScriptSaver,
        prober: ScriptProber,
        telling: Telling,
    ) -> None:
        self.prober = prober
        self.are_due = False
        """Whether the script is to do something after the step begun, before the next one."""
        self._steering = steered.steering
        self._script = steered.script
        self._planned = steered.steps
        self._progress = progress
        self._saver = saver
        self._telling = telling
        self._rollbacks: list[RollbackCommand] = []
        self._turn: tuple[RollbackCommand, Checkpoint] | None = None

    @property
    def has_turned(self) -> bool:
        """Whether the script has gone back, and steering is to follow."""
        return self._turn is not None

    def take(self, rollbacks: Sequence[RollbackCommand]) -> None:
        """See, at a settled boundary, whether there is something to do after the step begun.

        Args:
            rollbacks: those asked for since the last time.
        """
        self._rollbacks += rollbacks
        prober = self.prober
        if prober.is_asked:
            self._telling.tell(*prober.look())
            self._telling.wake()
        self.are_due = self._saver.is_asked or bool(self._rollbacks) or prober.is_asked

    def errands(self) -> Iterator[Errand]:
        """Yield what the script is to do between two steps."""
        self.are_due, saver = False, self._saver
        if saver.is_asked:
            yield saver.begin()
        while self._rollbacks:
            command = self._rollbacks.pop(0)
            try:
                checkpoint = saver.find(command)
            except FailedPrecondition as error:
                self._telling.tell(refusal(command.command_id, error))
                continue
            # Told before the script is changed, and of steps that then are undone.
            self._go_back(command, checkpoint)
            yield Errand(folder=Path(checkpoint.info.path), back_to=checkpoint.info.step)
            self.prober.put_off()
            return  # another one waits for the step after it
        while (probe := self.prober.begin()) is not None:
            yield probe

    def seal(self, errand: Errand, problem: str, began: float) -> None:
        """Make what the script has written a checkpoint; see `ScriptSaver.finish`."""
        # What is told until here is told before.
        self._telling.report()
        self._telling.tell(*self._saver.finish(errand, problem, began))

    def turn_back(self, learning_rates: Sequence[float]) -> None:
        """Bring steering to the step begun from where the checkpoint has it, and record that.

        Args:
            learning_rates: what the script wants them to be, one per group.
        """
        assert self._turn is not None
        (command, checkpoint), self._turn = self._turn, None
        steering, memory = self._steering, checkpoint.steering
        step, revision = self._progress.step, steering.revision
        asked: dict[str, Any] = {
            "principal": command.principal,
            "reason": command.reason,
            "request_id": command.request_id,
            "requested_at": command.requested_at,
        }
        edit = RollbackEdit(
            from_step=steering.step + 1,
            to_step=step,
            to_revision=checkpoint.info.revision,
            steps=self._planned or 0,
        )
        had = steering.learning_rates
        recall(steering, memory)
        steering.ledger.revision, steering.ledger.learning_rates = revision, had
        self._script.recall(step - 1)
        self._script.take(step, learning_rates)
        steering.advance(step, None)
        decision = steering.turn(edit, **asked)
        self._saver.go_back(step, decision.revision)
        for problem in steering.add(changes_after(command, decision)):
            self._telling.warn(f"the run went back, and then: {problem}")
        self._telling.tell(Applied(command_id=command.command_id, decision=decision))

    def _go_back(self, command: RollbackCommand, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint, which the script is about to go back to, with the next step."""
        self._telling.report()
        for name in checkpoint.progress.__struct_fields__:
            setattr(self._progress, name, getattr(checkpoint.progress, name))
        self._turn = (command, checkpoint)
        self._telling.wake()
