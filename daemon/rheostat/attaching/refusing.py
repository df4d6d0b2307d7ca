"""What only a loop of our own can do, and an attached script is asked for in vain."""

from collections.abc import Sequence

from rheostat.errors import FailedPrecondition
from rheostat.runs.messages import (
    ChangeCommand,
    EvaluateCommand,
    Message,
    ProbeCommand,
    RollbackCommand,
    SaveCommand,
    ToTrainer,
)
from rheostat.steering.records import Verb
from rheostat.trainer.refusals import refusal

Command = ChangeCommand | EvaluateCommand | ProbeCommand | SaveCommand | RollbackCommand

NO_PROBE = (
    "the script's own loop trains this run, and after each LR tried it must be brought back to "
    "where it was: attach it with save=... and restore=..., functions of a folder"
)
NO_HORIZON = (
    "the script's own loop says how long this run is; `schedule cooldown` brings its LR down over "
    "some steps"
)
NO_CHECKPOINTS = (
    "the script has not said how it is saved: attach it with save=... and restore=..., functions "
    "of a folder"
)
NO_EVALUATION = (
    "the script has not said how to look at its validation set: attach it with evaluate=..., a "
    "function that returns the loss, or the loss and the accuracy"
)


def refused(
    commands: Sequence[ToTrainer], *, takes_checkpoints: bool
) -> tuple[list[ToTrainer], list[Message]]:
    """Return the commands that a script can be asked for, and the answers to the others."""
    possible, answers = [], []
    for command in commands:
        if isinstance(command, ChangeCommand) and command.change.verb is Verb.HORIZON:
            answers.append(refuse(command, NO_HORIZON))
        elif isinstance(command, SaveCommand | RollbackCommand) and not takes_checkpoints:
            answers.append(refuse(command, NO_CHECKPOINTS))
        elif isinstance(command, ProbeCommand) and not takes_checkpoints:
            answers.append(refuse(command, NO_PROBE))
        else:
            possible.append(command)
    return possible, answers


def refuse(command: Command, why: str) -> Message:
    """Return the answer to a command that cannot be carried out."""
    return refusal(command.command_id, FailedPrecondition(why))


class NoProbes:
    """Refuses every probe, where the script has not said how it is brought back."""

    def ask(self, command: ProbeCommand, *, is_paused: bool) -> list[Message]:
        """Return the refusal."""
        return [refuse(command, NO_PROBE)]

    def refuse(self, why: str) -> list[Message]:
        """Return nothing: nothing waits."""
        return []
