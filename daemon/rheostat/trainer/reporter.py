"""What the loop tells its daemon: batches of rows with the state after them, now and then."""

import time
from collections.abc import Sequence

from rheostat.runs.messages import Decided, Message, Offended, Telemetry, Unacknowledged
from rheostat.runs.records import Snapshot
from rheostat.steering.steering import Steering
from rheostat.trainer.checkpoints.saver import Saver
from rheostat.trainer.peers import Peer
from rheostat.trainer.progress import Progress
from rheostat.trainer.recorder import Recorder, pack

REPORT_SECONDS = 0.05
"""Time between two telemetry messages while nothing is asked: 20 a second, whatever the speed."""
SLOW_STEP_SECONDS = 0.01
"""A step this long can afford a report of its own: one costs a hundredth of it."""


class Reporter:
    """Gathers rows, and sends them with snapshots of the run.

    Args:
        link: whom it tells.
        steering: of the run.
        progress: of the run.
        batch_size: samples of a step.
        saver: of its checkpoints; None where none are taken.
    """

    def __init__(
        self,
        link: Peer,
        steering: Steering,
        progress: Progress,
        batch_size: int,
        saver: Saver | None = None,
    ) -> None:
        self.recorder = Recorder([group.name for group in steering.groups])
        self._progress = progress
        self._link = link
        self._steering = steering
        self._batch_size = batch_size
        self._saver = saver
        self._reported_at = self._speed_since = time.perf_counter()
        self._speed_since_step = progress.step
        self._steps_per_second: float | None = None

    def report(self, *before: Message, after: Sequence[Message] = ()) -> None:
        """Tell what has happened, with other messages around it."""
        now = time.perf_counter()
        seconds = now - self._speed_since
        if seconds >= REPORT_SECONDS:
            step = self._progress.step
            self._steps_per_second = (step - self._speed_since_step) / seconds
            self._speed_since, self._speed_since_step = now, step
        self._reported_at = now
        rows = self.recorder.take()
        durations = self._steering.roster.take_durations()
        telemetry = Telemetry(
            snapshot=self._snapshot(),
            rows=rows,
            policy_durations={name: pack(seconds) for name, seconds in durations.items()},
        )
        self._link.send(*before, telemetry, *after)

    def tell_again(self, told: Unacknowledged) -> None:
        """Tell what another trainer of the run had told; what is known already does no harm."""
        messages: list[Message] = []
        if told.decisions:
            messages.append(Decided(decisions=told.decisions))
        if told.offences:
            messages.append(Offended(offences=told.offences))
        snapshot = self._snapshot()
        messages += [Telemetry(snapshot=snapshot, rows=rows) for rows in told.rows]
        self._link.send(*messages)

    def is_due(self, duration: float) -> bool:
        """Whether it is time to report again, after a step that took some seconds."""
        return (
            duration >= SLOW_STEP_SECONDS
            or time.perf_counter() - self._reported_at >= REPORT_SECONDS
        )

    def _snapshot(self) -> Snapshot:
        steering, progress = self._steering, self._progress
        return Snapshot(
            step=progress.step,
            revision=steering.revision,
            groups=steering.states(),
            in_force=steering.revisions_in_force(),
            train_loss=progress.train_loss,
            gradient_norm=progress.gradient_norm,
            validation_loss=progress.validation_loss,
            validation_accuracy=progress.validation_accuracy,
            validation_step=progress.validation_step,
            samples=progress.step * self._batch_size,
            loss_scale=progress.loss_scale,
            skipped_updates=progress.skipped_updates,
            steps_per_second=self._steps_per_second,
            guardrail_interventions=dict(steering.interventions),
            policies=steering.roster.statuses(),
            in_memory=() if self._saver is None else self._saver.in_memory,
        )
