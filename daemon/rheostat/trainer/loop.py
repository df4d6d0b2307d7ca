"""The training loop: boundary, step, boundary, step."""

import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from rheostat.runs.messages import Message
from rheostat.runs.records import GENERATORS, STEERING, Result
from rheostat.steering.policies import Extras, Measurement
from rheostat.trainer.boundary import Boundary
from rheostat.trainer.building import Parts
from rheostat.trainer.checkpoints.gathering import gather
from rheostat.trainer.checkpoints.restoring import generators_of, progress_of
from rheostat.trainer.checkpoints.saver import Saver
from rheostat.trainer.checkpoints.state import State
from rheostat.trainer.equipment import Equipment
from rheostat.trainer.generators import recall_generators
from rheostat.trainer.learning import NonFiniteLoss
from rheostat.trainer.peers import Peer
from rheostat.trainer.progress import Progress
from rheostat.trainer.ranks import Ranks
from rheostat.trainer.reporter import Reporter
from rheostat.trainer.validation import Validator


class Loop:
    """Trains a run from its first step, or where a checkpoint was taken, to its last.

    Args:
        parts: of the run; those of a run that goes on are restored already.
        link: its daemon.
        ranks: the processes that train it.
        saver: takes its checkpoints; None is to take none.
        state: that the parts were restored to; None for a run that begins.
        anew: what was not restored; see `Origin.anew`.
        until: number of finished steps at which it ends, whatever is planned; None: as planned.
    """

    def __init__(
        self,
        parts: Parts,
        link: Peer,
        ranks: Ranks,
        saver: Saver | None = None,
        state: State | None = None,
        *,
        anew: Collection[str] = (),
        until: int | None = None,
    ) -> None:
        self.parts = parts
        self.progress = progress = Progress() if state is None else progress_of(state)
        self._link = link
        self._ranks = ranks
        self._saver = saver
        self._steering = parts.steering
        batch_size = parts.spec.data.batch_size
        self._reporter = Reporter(link, parts.steering, progress, batch_size, saver)
        recorder = self._reporter.recorder
        self._equipment = Equipment(parts, progress, recorder, ranks.parallel, state)
        self._validator = Validator(parts, progress, ranks, self._equipment, recorder)
        self._validate_every = parts.spec.evaluate.every or parts.batches.steps_per_epoch
        self._boundary = Boundary(
            parts,
            progress,
            link,
            ranks,
            self._reporter,
            self._equipment,
            saver,
            evaluate=self._validator.answer,
            gather=self._gather,
            is_settled=state is not None and STEERING not in anew,
        )
        self._boundary_at = time.perf_counter()
        self._duration = 0.0
        self._until = sys.maxsize if until is None else until
        if state is not None:
            self._recall(state, anew)

    @property
    def step(self) -> int:
        """Number of finished steps, and so the index of the next."""
        return self.progress.step

    @property
    def is_stopped(self) -> bool:
        """Whether a StopCommand ended the run."""
        return self._boundary.is_stopped

    @property
    def _end(self) -> int:
        """Number of finished steps at which the run ends."""
        return min(self._steering.steps, self._until)

    def run(self) -> Result:
        """Train to the planned end or until told to stop, and return how it ended.

        Raises:
            NonFiniteLoss: if a loss is not finite.
            RheostatError: if a decision that is written down cannot be carried out again.
        """
        progress = self.progress
        while not self._is_over():
            self.advance(self._end - progress.step)
        if self._saver is not None:
            self._saver.finish(progress, self._gather if self.is_stopped else None)
        if progress.validation_step != progress.step:
            self._validator.validate()
        self.report(after=self._boundary.news())
        readings = self._equipment.readings
        return Result(
            steps=progress.step,
            train_loss=progress.train_loss if readings is None else readings.newest,
            validation_loss=progress.validation_loss,
            validation_accuracy=progress.validation_accuracy,
        )

    def advance(self, steps: int) -> None:
        """Train up to some more steps; fewer when the run ends or is stopped."""
        end = self.step + steps
        # The horizon may move while we go.
        while self.step < min(end, self._end):
            self._boundary_at += self._boundary.cross(self._duration)
            if self.is_stopped:
                break
            try:
                self._learn()
            except NonFiniteLoss as error:
                self._boundary.mend(error)
                continue
            if self.step % self._validate_every == 0:
                self._validator.validate()

    def _is_over(self) -> bool:
        """Whether the run is at its end, and every loss until there known and finite."""
        if self.step < self._end and not self.is_stopped:
            return False
        readings = self._equipment.readings
        if readings is not None:
            readings.collect()
            try:
                # A run that was stopped goes on from where policies had come.
                if not self.is_stopped:
                    readings.show()
            except NonFiniteLoss as error:
                self._boundary.mend(error)
                return False
        return True

    def report(self, *before: Message, after: Sequence[Message] = ()) -> None:
        """Tell the daemon what has happened, with other messages around it."""
        self._reporter.report(*before, after=after)

    def save_weights(self, folder: Path) -> Path:
        """Write the weights, as they are now, into a folder; return the file."""
        return self._ranks.save_weights(self.parts, folder)

    def measurement(self) -> Measurement | None:
        """Return the data of the last finished step; None before any."""
        return self._equipment.measurement()

    def extras(self) -> Extras:
        """Return what policies `observe` beyond it, as an `Observation` ends."""
        return self._equipment.extras()

    def _learn(self) -> None:
        """Run one step and note what it did."""
        progress, equipment, recorder = self.progress, self._equipment, self._reporter.recorder
        step = progress.step
        index = step + self._steering.course.skipped
        rates, measures_norm = self._steering.learning_rates, equipment.measures_norm(step)
        self._ranks.begin_step(self.parts, index, rates, measures_norm)
        inputs, targets = self.parts.batches.batch(index)
        loss = equipment.learn(step, inputs, targets)
        now = time.perf_counter()
        self._duration, self._boundary_at = now - self._boundary_at, now
        steering = self._steering
        recorder.record(
            step,
            loss,
            steering.learning_rates,
            steering.bases,
            steering.components,
            equipment.momenta,
            self._duration,
            waits=loss is None,
        )
        progress.step = step + 1
        if loss is None:
            equipment.read(step)

    def _gather(self) -> State:
        if (readings := self._equipment.readings) is not None:
            readings.collect()
            readings.check()
        # What is told until here is told before: the checkpoint holds what is not written down yet.
        self.report()
        told, equipment = self._link.unacknowledged(), self._equipment
        others = self._ranks.generators(self.parts.device)
        watch, predictions = equipment.learner.watch, equipment.predictions
        own = gather(self.parts, self.progress, watch, predictions, told, others)
        return self._ranks.whole(own)

    def _recall(self, state: State, anew: Collection[str]) -> None:
        """Tell what the trainer before had told; the random generators last, and nothing after."""
        if STEERING in anew:
            # To policies that have seen nothing, the step before is none.
            self.progress.train_loss, self.progress.awaited = None, []
        self._reporter.tell_again(state.unacknowledged)
        if GENERATORS not in anew:
            recall_generators(generators_of(state))
