"""What the loop knows of its steps, and when: at once, or some steps later."""

import math

import torch

from rheostat.errors import FailedPrecondition
from rheostat.trainer.learning import Learner, Left, NonFiniteLoss
from rheostat.trainer.progress import Progress
from rheostat.trainer.recorder import Recorder
from rheostat.trainer.ring import Reading, Ring


class Readings:
    """Brings what steps have measured to the record and to the policies.

    The record gets a reading as soon as it is on the host. Policies see that of step s after step
    s + lag, however early it came: what they decide depends on the run and not on the clock.

    Args:
        lag: in steps, at least 1.
        device: where the steps run.
        learner: whose watch shows what gradients tell.
        progress: of the run; changed in place.
        recorder: of the run.
    """

    def __init__(
        self,
        lag: int,
        device: torch.device,
        learner: Learner,
        progress: Progress,
        recorder: Recorder,
    ) -> None:
        self._lag = lag
        self._ring = Ring(device)
        self._learner = learner
        self._progress = progress
        self._recorder = recorder
        self.acted: tuple[list[float], list[float]] | None = None
        """LRs and bases of the step that `progress` tells of; None before the first."""

    @property
    def newest(self) -> float | None:
        """Loss of the newest step on the host; None before any."""
        awaited = self._progress.awaited
        return awaited[-1].loss if awaited else self._progress.train_loss

    def put(self, step: int, left: Left, learning_rates: list[float], bases: list[float]) -> None:
        """Take what a step has left on the device, and show the reading that is due then.

        Raises:
            NonFiniteLoss: if its loss is not finite; no update has been made since.
        """
        self._ring.put(step, left, learning_rates, bases)
        self.collect(until=step - self._lag)
        self.show(until=step - self._lag)

    def collect(self, until: int | None = None) -> None:
        """Wait for readings of steps up to one, or of all, and note them."""
        for reading in self._ring.take(until):
            self._recorder.complete(reading.loss)
            if reading.gradient_norm is not None:
                self._recorder.record_gradient_norm(reading.step, reading.gradient_norm)
            if reading.is_skipped and reading.loss_scale is not None:
                self._recorder.record_skip(reading.step, reading.loss_scale)
            self._progress.awaited.append(reading)

    def show(self, until: int | None = None) -> None:
        """Let `progress` tell of the collected readings of steps up to one, or of all, in turn.

        Raises:
            NonFiniteLoss: at the first whose loss is not finite.
        """
        awaited = self._progress.awaited
        while awaited and (until is None or awaited[0].step <= until):
            reading = awaited.pop(0)
            if not math.isfinite(reading.loss):
                self.collect()
                raise NonFiniteLoss(reading.loss, reading.step, self._progress.step)
            self._show(reading)

    def check(self) -> None:
        """Refuse to have the run kept while it is about to fail.

        Raises:
            FailedPrecondition: if a reading that nobody has seen yet is of a loss not finite.
        """
        for reading in self._progress.awaited:
            if not math.isfinite(reading.loss):
                message = f"the loss of step {reading.step} is {reading.loss}; nothing to keep"
                raise FailedPrecondition(message)

    def _show(self, reading: Reading) -> None:
        progress, watch = self._progress, self._learner.watch
        progress.train_loss, progress.train_step = reading.loss, reading.step
        if reading.gradient_norm is not None:
            progress.gradient_norm = reading.gradient_norm
            progress.gradient_norm_step = reading.step
        progress.loss_scale = reading.loss_scale
        progress.skipped_updates += reading.is_skipped
        if watch is not None:
            watch.measured, watch.group_norms = reading.gradients, reading.group_norms
        self.acted = reading.learning_rates, reading.bases
