"""Where a script begins whose run is a fork: at the checkpoint of another run."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from rheostat.attaching.building import Steered
from rheostat.attaching.saving import Checkpoint, read_checkpoint
from rheostat.errors import FailedPrecondition
from rheostat.runs.checkpoints import BadCheckpoint, folder_name
from rheostat.runs.records import STEERING, RunView
from rheostat.runs.starting import CHECKPOINTS_FOLDER
from rheostat.steering.remembering import begin_anew, recall
from rheostat.trainer.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """What every process of a script must know before it takes a step."""

    name: str
    """What the run is called."""
    folder: Path | None = None
    """Of the checkpoint that the script is brought to; None is to begin as it is."""
    step: int = 0
    """Number of finished steps."""


def checkpoint_of(view: RunView, folder: Path) -> Checkpoint | None:
    """Return the checkpoint that a run begins with; None where it is no fork, or is beyond it.

    Args:
        view: the run as the daemon knows it.
        folder: of its files.

    Raises:
        FailedPrecondition: if it is gone or damaged.
    """
    origin = view.origin
    if origin is None or not view.begins_at_checkpoint:
        return None
    try:
        return read_checkpoint(folder / CHECKPOINTS_FOLDER / folder_name(origin.step))
    except (BadCheckpoint, OSError, msgspec.DecodeError, msgspec.ValidationError) as error:
        raise FailedPrecondition(
            f"the checkpoint of step {origin.step} of run {origin.run}, with which run {view.name} "
            f"begins, cannot be read ({error}): fork it again"
        ) from error


def take_over(checkpoint: Checkpoint, progress: Progress) -> None:
    """Count steps on from a checkpoint."""
    for name in checkpoint.progress.__struct_fields__:
        setattr(progress, name, getattr(checkpoint.progress, name))


def steer_on(checkpoint: Checkpoint, steered: Steered, view: RunView) -> None:
    """Let the steering of a fork go on where the checkpoint has it, or anew where that is asked.

    Raises:
        FailedPrecondition: if the script has other groups or policies than it had then.
    """
    steering, memory = steered.steering, checkpoint.steering
    if view.origin is not None and STEERING in view.origin.anew:
        begin_anew(steering, memory)
        return
    try:
        recall(steering, memory)
    except KeyError as error:
        raise FailedPrecondition(
            f"policy {error} of the checkpoint is not attached any more: attach the script with "
            "it, or fork with --precedence spec"
        ) from error
    steered.script.recall(checkpoint.info.step - 1)
