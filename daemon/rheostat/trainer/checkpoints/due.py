"""When a checkpoint is due."""

import time
from pathlib import Path

from rheostat.runs.checkpoints import list_checkpoints
from rheostat.spec.models import CheckpointSpec
from rheostat.trainer.progress import Progress

BEST_SECONDS = 10.0
"""Least time from any checkpoint to one that is taken because it is the best."""


class Due:
    """Knows what a spec says, what was taken last, and what the best so far is.

    Args:
        spec: of the run's checkpoints.
        folder: of the run's checkpoints.
        step: number of finished steps, of which nothing is due.
    """

    def __init__(self, spec: CheckpointSpec, folder: Path, step: int) -> None:
        self._spec = spec
        self._folder = folder
        self.begin(step)

    @property
    def ever(self) -> bool:
        """Whether any will be due by itself."""
        return self._spec.every is not None or self._spec.seconds is not None

    def begin(self, step: int) -> None:
        """Begin at a step, with what is on the disk."""
        self._looked_at = step
        self._taken_at = time.perf_counter()
        self._lowest = _lowest(self._folder)

    def is_new(self, step: int) -> bool:
        """Whether so many finished steps are other than the last time."""
        was, self._looked_at = self._looked_at, step
        return was != step

    def why(self, progress: Progress) -> str | None:
        """Return why a checkpoint is due after the step just finished, None where none is."""
        spec, loss = self._spec, progress.validation_loss
        waited = time.perf_counter() - self._taken_at
        is_new = progress.validation_step == progress.step
        is_best = is_new and loss is not None and loss < self._lowest
        if is_best and spec.keep_best and waited >= BEST_SECONDS:
            return "best"
        if spec.every is not None and progress.step % spec.every == 0:
            return "every"
        seconds = spec.seconds
        return "every" if seconds is not None and waited >= seconds else None

    def note(self, taken_at: float, validation_loss: float | None = None) -> None:
        """Note that one was taken, or could not be.

        Args:
            taken_at: by `time.perf_counter`.
            validation_loss: of it, where it was measured.
        """
        self._taken_at = taken_at
        if validation_loss is not None:
            self._lowest = min(self._lowest, validation_loss)


def _lowest(folder: Path) -> float:
    """Return the lowest validation loss of a checkpoint in a folder."""
    losses = [one.validation_loss for one in list_checkpoints(folder)]
    return min((loss for loss in losses if loss is not None), default=float("inf"))
