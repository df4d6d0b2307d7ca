"""What trains a run and measures its training."""

from collections.abc import Sequence

from torch import Tensor

from rheostat.steering.policies import Extras, Measurement
from rheostat.trainer.actuator import Actuator
from rheostat.trainer.building import Parts
from rheostat.trainer.checkpoints.restoring import seen_of
from rheostat.trainer.checkpoints.state import State
from rheostat.trainer.compiling import is_compiled
from rheostat.trainer.learning import Learner, Left, NonFiniteLoss
from rheostat.trainer.modes import train_mode
from rheostat.trainer.parallel import Parallel
from rheostat.trainer.predictions import PredictionWatch
from rheostat.trainer.progress import Progress
from rheostat.trainer.readings import Readings
from rheostat.trainer.recorder import Recorder


class Equipment:
    """The hand on the optimizer, what takes the steps, and what policies see of them.

    Args:
        parts: of the run.
        progress: of the run; takes what its steps measure.
        recorder: takes the same.
        parallel: how its processes work on the model.
        state: that the parts were brought to; None for a run that begins.
    """

    def __init__(
        self,
        parts: Parts,
        progress: Progress,
        recorder: Recorder,
        parallel: Parallel,
        state: State | None,
    ) -> None:
        self._parts = parts
        self._progress = progress
        self._recorder = recorder
        self._parallel = parallel
        self._unmoved: Sequence[float | None] = [None] * len(parts.groups)
        self.renew(state)

    def renew(self, state: State | None) -> None:
        """Make all of it anew, as far as it had come in a state that the parts were brought to."""
        parts, train = self._parts, self._parts.spec.train
        compiles = bool(train.compile) and is_compiled(parts.optimizer)
        self.actuator = Actuator(parts.optimizer, is_compiled=compiles, momenta=parts.momenta)
        self.learner = Learner(
            parts.model,
            parts.loss,
            parts.optimizer,
            train,
            parts.device,
            groups=[group.name for group in parts.groups],
            parallel=self._parallel,
            precision=parts.precision,
            is_masked=parts.lag > 0,
        )
        self.readings: Readings | None = None
        """What brings measurements to the host steps later; None where they are there at once."""
        if parts.lag > 0:
            self.readings = Readings(
                parts.lag, parts.device, self.learner, self._progress, self._recorder
            )
        self._left: Left | None = None
        self.predictions = PredictionWatch(parts.model)
        self._observes: frozenset[str] = frozenset()
        self._norm_every = train.gradient_norm_every
        self.momenta: Sequence[float | None] = self._unmoved
        """What the schedule has made of each group's momentum; None is the group's own."""
        if state is not None:
            # What stands in the optimizer; the schedule may be swapped at this very boundary.
            self.momenta = [group.momentum for group in parts.steering.groups]
        train_mode(parts.model, parts.optimizer)
        self.look_at_policies()
        if state is not None:
            gradients, predictions = seen_of(state, parts.device)
            if self.learner.watch is not None and gradients is not None:
                self.learner.watch.recall(gradients)
            self.predictions.recall(predictions)

    def look_at_policies(self) -> None:
        """Measure what the policies attached now want to see."""
        observes = self._parts.steering.roster.observes() - self._parallel.unmeasured
        if observes != self._observes:
            self._observes = observes
            self.learner.observe(observes)
            self.predictions.observe(observes)
            every = self._parts.spec.train.gradient_norm_every
            self._norm_every = 1 if "gradient_norm" in observes else every

    def write(self) -> None:
        """Write the LRs, and the momenta, that steering has settled."""
        steering = self._parts.steering
        self.actuator.write(steering.learning_rates)
        if steering.moves_momentum:
            self.momenta = [group.momentum for group in steering.groups]
            self.actuator.write_momenta(self.momenta)
        elif self.momenta is not self._unmoved:
            # Whatever the schedule before has left there would depend on when it was swapped.
            self.momenta = self._unmoved
            self.actuator.write_momenta(self.momenta)

    def measures_norm(self, step: int) -> bool:
        """Whether the gradient norm of a step is measured."""
        return self._norm_every > 0 and step % self._norm_every == 0

    def learn(self, step: int, inputs: Tensor, targets: Tensor) -> float | None:
        """Take one optimizer step and return the batch's loss, None where it is known later.

        Raises:
            NonFiniteLoss: if it is not finite; nothing was updated.
        """
        learner, progress = self.learner, self._progress
        measures_norm = self.measures_norm(step)
        if self.readings is not None:
            self._left = learner.begin(inputs, targets, measures_norm)
            return None
        loss = learner.learn(step, inputs, targets, measures_norm)
        progress.train_loss, progress.train_step = loss, step
        if measures_norm and learner.gradient_norm is not None:
            progress.gradient_norm = float(learner.gradient_norm)
            progress.gradient_norm_step = step
            self._recorder.record_gradient_norm(step, progress.gradient_norm)
        if learner.loss_scale is not None:
            progress.loss_scale = learner.loss_scale
            if learner.has_skipped:
                progress.skipped_updates += 1
                self._recorder.record_skip(step, learner.loss_scale)
        return loss

    def read(self, step: int) -> None:
        """Note what an earlier step has measured, now that this one is finished and recorded.

        Raises:
            NonFiniteLoss: if that step's loss is not finite; nothing was updated since.
        """
        steering, left = self._parts.steering, self._left
        assert self.readings is not None
        assert left is not None
        self.readings.put(step, left, steering.learning_rates, steering.bases)

    def collect(self) -> None:
        """Wait for what steps have measured and the host does not know yet, and note it."""
        if self.readings is not None:
            self.readings.collect()

    def measurement(self, failed: NonFiniteLoss | None = None) -> Measurement | None:
        """Return the data of the newest step known, or of one that failed; None before any."""
        progress = self._progress
        loss = progress.train_loss if failed is None else failed.loss
        if loss is None:
            return None
        step = progress.train_step if failed is None else failed.step
        assert step is not None
        has_norm = failed is None and progress.gradient_norm_step == step
        return (
            step,
            self._parts.steering.steps,
            loss,
            progress.validation_loss,
            progress.validation_accuracy,
            progress.validation_step,
            progress.gradient_norm if has_norm else None,
        )

    def extras(self) -> Extras:
        """Return what policies `observe` beyond it, as an `Observation` ends."""
        gradients, predictions = self.learner.watch, self.predictions
        if gradients is None and predictions.is_idle:
            return ()
        if gradients is None:
            return (None, None, None, {}, *predictions.measured)
        return (*gradients.measured, gradients.group_norms, *predictions.measured)
