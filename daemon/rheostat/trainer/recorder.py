"""What the trainer tells the daemon of every step, gathered until it is worth a message."""

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import numpy as np

from rheostat.runs.records import StepRows
from rheostat.steering.records import Components

_Row = tuple[
    Sequence[float],
    Sequence[float],
    Components | None,
    Sequence[float | None],
    float,
]


class Recorder:
    """Keeps the rows of finished steps until they are taken.

    A step costs one tuple here; columns are made when a batch is sent.
    """

    def __init__(self, groups: Sequence[str]) -> None:
        self._groups = tuple(groups)
        self._first_step = 0
        self._rows: list[_Row] = []
        self._train_losses: list[float | None] = []
        self._gradient_norm: dict[int, float] = {}
        self._validation_loss: dict[int, float] = {}
        self._validation_accuracy: dict[int, float] = {}
        self._skipped: dict[int, float] = {}

    def record(
        self,
        step: int,
        train_loss: float | None,
        learning_rates: Sequence[float],
        bases: Sequence[float],
        components: Components | None,
        momenta: Sequence[float | None],
        duration: float,
        *,
        waits: bool = False,
    ) -> None:
        """Note one finished step; the sequences are kept, not copied.

        A loss that is not known is None, and NaN in its column. A step that waits for its loss gets
        it by `complete`, and is told then, as are those after it.
        """
        if not self._rows:
            self._first_step = step
        self._rows.append((learning_rates, bases, components, momenta, duration))
        if not waits:
            self._train_losses.append(train_loss)

    def complete(self, train_loss: float) -> None:
        """Note the loss of the oldest step that waits for it."""
        self._train_losses.append(train_loss)

    def record_gradient_norm(self, step: int, norm: float) -> None:
        """Note the total gradient norm measured in a step."""
        self._gradient_norm[step] = norm

    def record_skip(self, step: int, loss_scale: float) -> None:
        """Note that a loss scale was too large for a step, and its update left out."""
        self._skipped[step] = loss_scale

    def record_validation(self, steps: int, loss: float, accuracy: float | None) -> None:
        """Note a validation after a number of finished steps."""
        self._validation_loss[steps] = loss
        if accuracy is not None:
            self._validation_accuracy[steps] = accuracy

    def take(self) -> StepRows | None:
        """Return what was noted since the last time, None when nothing was."""
        train_losses = self._train_losses
        if not train_losses and not self._validation_loss:
            return None
        count, first_step = len(train_losses), self._first_step
        rows, self._rows = self._rows[:count], self._rows[count:]
        self._train_losses, self._first_step = [], first_step + count
        norms, self._gradient_norm = self._gradient_norm, {}
        losses, self._validation_loss = self._validation_loss, {}
        accuracies, self._validation_accuracy = self._validation_accuracy, {}
        skipped, self._skipped = self._skipped, {}
        columns = zip(*rows, strict=True) if rows else ((),) * 5
        rates, bases, components, momenta, durations = columns
        return StepRows(
            first_step=first_step,
            count=count,
            train_loss=pack(train_losses),
            learning_rate=self._columns(rates),
            base=self._columns(bases),
            components=_changes(components, first_step),
            momentum=self._columns(momenta),
            duration=pack(durations),
            gradient_norm=norms,
            validation_loss=losses,
            validation_accuracy=accuracies,
            skipped_at_loss_scale=skipped,
        )

    def _columns(self, rows: Sequence[Sequence[float | None]]) -> dict[str, bytes]:
        """Turn rows of a value per group into packed columns.

        A group without any value has none, and one without some has NaN there: a momentum that a
        schedule leaves alone.
        """
        return {
            name: pack(column)
            for name, column in zip(self._groups, zip(*rows, strict=True), strict=False)
            if any(value is not None for value in column)
        }


def _changes(components: Sequence[Components | None], first_step: int) -> dict[int, str]:
    """Return the components at the first step and at each that has others than the one before."""
    return {
        first_step + index: msgspec.json.encode(now).decode()
        for index, (before, now) in enumerate(pairwise((None, *components)))
        if now is not before
    }


def pack(values: Sequence[float | None]) -> bytes:
    """Return doubles, little-endian, one after the other."""
    return np.asarray(values, dtype="<f8").tobytes()
