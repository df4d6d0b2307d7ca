"""The training loop, and the step boundary where everything else happens."""

import sys
import time
from collections.abc import Collection, Sequence

from rheostat.runs.messages import (
    Decided,
    EvaluateCommand,
    Evaluated,
    Message,
    Observed,
    Offended,
    Warned,
)
from rheostat.runs.records import GENERATORS, STEERING, Result
from rheostat.steering.policies import Extras, Measurement
from rheostat.steering.records import Components
from rheostat.trainer.actuator import Actuator
from rheostat.trainer.building import Parts
from rheostat.trainer.checkpoints.gathering import gather
from rheostat.trainer.checkpoints.restoring import generators_of, progress_of, seen_of
from rheostat.trainer.checkpoints.saver import Saver
from rheostat.trainer.checkpoints.state import State
from rheostat.trainer.compiling import is_compiled
from rheostat.trainer.generators import recall_generators, undisturbed
from rheostat.trainer.learning import Learner, NonFiniteLoss
from rheostat.trainer.modes import evaluating, train_mode
from rheostat.trainer.obeying import Obeying, answer_of
from rheostat.trainer.peers import Peer
from rheostat.trainer.predictions import PredictionWatch
from rheostat.trainer.probing import Prober
from rheostat.trainer.progress import Progress
from rheostat.trainer.ranks import Ranks
from rheostat.trainer.reporter import Reporter
from rheostat.trainer.returning import Returning
from rheostat.trainer.validation import validate

PAUSED_POLL_SECONDS = 1.0
SAVING_POLL_SECONDS = 0.05
"""The same while somebody waits for a checkpoint."""


class Loop:
    """Trains a run from its first step, or where a checkpoint was taken, to its last.

    At each boundary: data of the step before and requests that arrived meanwhile decide the LRs,
    which are written once; then the step runs. The daemon is told in batches.

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
        self.progress = Progress() if state is None else progress_of(state)
        self._link = link
        self._ranks = ranks
        self._saver = saver
        self._steering = parts.steering
        batch_size = parts.spec.data.batch_size
        self._reporter = Reporter(link, parts.steering, self.progress, batch_size)
        self._validate_every = parts.spec.evaluate.every or parts.batches.steps_per_epoch
        self._prober = Prober(parts, link)
        self._obeying = Obeying(parts.steering, self.progress, saver, self._prober, self._evaluate)
        self._returning = Returning(parts, self.progress, saver, self._equip)
        self._has_warned = False
        self._boundary_at = time.perf_counter()
        self._duration = 0.0
        self._until = sys.maxsize if until is None else until
        self._is_settled = state is not None and STEERING not in anew
        self._equip(state)
        if state is not None:
            self._recall(state, anew)

    def _equip(self, state: State | None) -> None:
        """Make what trains and looks at the training, as far as it had come in a state."""
        parts, train = self.parts, self.parts.spec.train
        compiles = train.compile and is_compiled(parts.optimizer)
        self._actuator = Actuator(parts.optimizer, is_compiled=compiles, momenta=parts.momenta)
        self._learner = Learner(
            parts.model,
            parts.loss,
            parts.optimizer,
            train,
            parts.device,
            groups=[group.name for group in parts.groups],
        )
        self._predictions = PredictionWatch(parts.model)
        self._observes: frozenset[str] = frozenset()
        self._norm_every = train.gradient_norm_every
        self._unmoved: Sequence[float | None] = [None] * len(parts.groups)
        self._momenta: Sequence[float | None] = self._unmoved
        if state is not None:
            # What stands in the optimizer; the schedule may be swapped at this very boundary.
            self._momenta = [group.momentum for group in parts.steering.groups]
        self._components: Components | None = None
        train_mode(parts.model, parts.optimizer)
        self._look_at_policies()
        if state is not None:
            gradients, predictions = seen_of(state, parts.device)
            if self._learner.watch is not None and gradients is not None:
                self._learner.watch.recall(gradients)
            self._predictions.recall(predictions)

    @property
    def step(self) -> int:
        """Number of finished steps, and so the index of the next."""
        return self.progress.step

    @property
    def is_stopped(self) -> bool:
        """Whether a StopCommand ended the run."""
        return self._obeying.is_stopped

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
        while progress.step < self._end and not self.is_stopped:
            self.advance(self._end - progress.step)
        if self._saver is not None:
            self._saver.finish(progress, self._gather if self.is_stopped else None)
        if progress.validation_step != progress.step:
            self._validate()
        self.report(after=self._news())
        return Result(
            steps=progress.step,
            train_loss=progress.train_loss,
            validation_loss=progress.validation_loss,
            validation_accuracy=progress.validation_accuracy,
        )

    def advance(self, steps: int) -> None:
        """Train up to some more steps; fewer when the run ends or is stopped."""
        end = self.step + steps
        # The horizon may move while we go.
        while self.step < min(end, self._end):
            self._steer()
            if self.is_stopped:
                break
            try:
                self._learn()
            except NonFiniteLoss as error:
                self._mend(error)
                continue
            if self.step % self._validate_every == 0:
                self._validate()

    def report(self, *before: Message, after: Sequence[Message] = ()) -> None:
        """Tell the daemon what has happened, with other messages around it."""
        self._reporter.report(*before, after=after)

    def _steer(self) -> None:
        """Decide and write the LRs of the step about to run."""
        steering = self._steering
        if self._is_settled:
            self._is_settled = False
        else:
            steering.advance(self.step, self.measurement(), self.extras())
        if steering.roster.outbox:
            self._send_observations()
        answers = self._obeying.obey([*self._prober.take_late(), *self._link.receive()])
        while not self.is_stopped and (seconds := steering.patience()) > 0:
            answers += self._obeying.obey(self._link.receive(seconds))
        self._settle(answers)
        self._turn_back()
        self._stand_still()
        while self._prober.is_due and not self.is_stopped:
            self._probe()

    def _stand_still(self) -> None:
        """Wait while the run is paused, and see to what is asked meanwhile."""
        while self._obeying.is_paused and not self.is_stopped:
            is_saving = self._saver is not None and self._saver.is_busy
            seconds = SAVING_POLL_SECONDS if is_saving else PAUSED_POLL_SECONDS
            self._settle(self._obeying.obey(self._link.receive(seconds)))
            self._turn_back()

    def _turn_back(self, bad_batches: int = 0) -> str | None:
        """Go back to a checkpoint if a policy wants to, and as often as operators do.

        Args:
            bad_batches: batches of steps that were begun and not finished.

        Returns:
            Why a policy's wish could not be fulfilled, empty where it was; None where none had one.
        """
        problem = None
        if (wanted := self._steering.take_wanted()) is not None:
            self.report()
            problem = self._returning.follow(*wanted, bad_batches=bad_batches)
            self._settle([])
        for command in self._obeying.take_rollbacks():
            self.report()
            self._settle(self._returning.obey(command))
        return problem

    def _probe(self) -> None:
        """Try what is to be tried before the step begun, unless the run pauses or stops first."""
        answers = self._prober.work(self.step, self._learner, self._actuator)
        self._boundary_at += self._prober.seconds
        if self._prober.is_interrupted:
            answers += self._obeying.obey(self._prober.take_late())
        self._settle(answers)
        self._stand_still()

    def _send_observations(self) -> None:
        outbox = self._steering.roster.outbox
        if not self._link.is_congested:
            self._link.send(
                *(Observed(policy=name, observation=observation) for name, observation in outbox)
            )
        outbox.clear()

    def _settle(self, answers: list[Message]) -> None:
        """Fix the LRs of the step and write them; tell of decisions, and answer."""
        steering, saver = self._steering, self._saver
        decisions, outcomes = steering.settle()
        self._write()
        if steering.components is not self._components:
            self._components = steering.components
            self._look_at_policies()
        before: list[Message] = []
        if offences := steering.roster.take_offences():
            before.append(Offended(offences=tuple(offences)))
        if decisions:
            before.append(Decided(decisions=tuple(decisions)))
        answers += self._news()
        if before or outcomes or answers:
            # Decisions before the state that contains them, and answers after both: so whoever
            # gets an answer finds it in the history and in the metrics already.
            self.report(*before, after=[*map(answer_of, outcomes), *answers])
        elif self._reporter.is_due(self._duration):
            self.report()
        if saver is not None:
            saver.look(self.progress, self._gather)

    def _look_at_policies(self) -> None:
        """Measure what the policies attached now want to see."""
        observes = self._steering.roster.observes()
        if observes != self._observes:
            self._observes = observes
            self._learner.observe(observes)
            self._predictions.observe(observes)
            every = self.parts.spec.train.gradient_norm_every
            self._norm_every = 1 if "gradient_norm" in observes else every

    def _write(self) -> None:
        steering = self._steering
        if self._ranks.world_size > 1:
            steering.learning_rates = self._ranks.share(steering.learning_rates)
        self._actuator.write(steering.learning_rates)
        if steering.moves_momentum:
            self._momenta = [group.momentum for group in steering.groups]
            self._actuator.write_momenta(self._momenta)
        elif self._momenta is not self._unmoved:
            # Whatever the schedule before has left there would depend on when it was swapped.
            self._momenta = self._unmoved
            self._actuator.write_momenta(self._momenta)

    def _learn(self) -> None:
        """Run one step and note what it did."""
        progress, recorder = self.progress, self._reporter.recorder
        step = progress.step
        measure_norm = self._norm_every > 0 and step % self._norm_every == 0
        inputs, targets = self.parts.batches.batch(step + self._steering.course.skipped)
        loss = self._learner.learn(step, inputs, targets, measure_norm)
        progress.train_loss = loss
        if measure_norm and self._learner.gradient_norm is not None:
            progress.gradient_norm = float(self._learner.gradient_norm)
            recorder.record_gradient_norm(step, progress.gradient_norm)
        now = time.perf_counter()
        self._duration, self._boundary_at = now - self._boundary_at, now
        steering = self._steering
        recorder.record(
            step,
            loss,
            steering.learning_rates,
            steering.bases,
            steering.components,
            self._momenta,
            self._duration,
        )
        progress.step = step + 1

    def _mend(self, error: NonFiniteLoss) -> None:
        """Let a policy take the run back, around the batch of the step that could not be finished.

        Raises:
            NonFiniteLoss: the same, if none does.
        """
        measured = self.measurement(error)
        assert measured is not None
        self._steering.mend(measured, self.extras())
        problem = self._turn_back(bad_batches=1)
        if problem is None:
            raise error
        if problem:
            error.add_note(f"no way back: {problem}")
            raise error
        self._is_settled = True

    def _validate(self) -> None:
        parts, watch, progress = self.parts, self._predictions, self.progress
        with evaluating(parts.model, parts.optimizer):
            see = None if watch.is_idle else watch.see
            loss, accuracy = validate(parts.model, parts.loss, parts.validation, see)
            watch.finish()
        progress.validation_loss, progress.validation_accuracy = loss, accuracy
        progress.validation_step = progress.step
        self._reporter.recorder.record_validation(progress.step, loss, accuracy)

    def _evaluate(self, command: EvaluateCommand) -> Evaluated:
        """Validate for somebody who asked, so that the run does not notice."""
        parts = self.parts
        with undisturbed(parts.device), evaluating(parts.model, parts.optimizer):
            loss, accuracy = validate(parts.model, parts.loss, parts.validation)
        return Evaluated(
            command_id=command.command_id,
            step=self.step,
            validation_loss=loss,
            validation_accuracy=accuracy,
        )

    def _gather(self) -> State:
        # What is told until here is told before: the checkpoint holds what is not written down yet.
        self.report()
        told = self._link.unacknowledged()
        return gather(self.parts, self.progress, self._learner.watch, self._predictions, told)

    def _recall(self, state: State, anew: Collection[str]) -> None:
        """Tell what the trainer before had told; the random generators last, and nothing after."""
        if STEERING in anew:
            # To policies that have seen nothing, the step before is none.
            self.progress.train_loss = None
        self._reporter.tell_again(state.unacknowledged)
        if GENERATORS not in anew:
            recall_generators(generators_of(state))

    def _news(self) -> list[Message]:
        """Return what became of checkpoints, and what came out otherwise than it was."""
        news: list[Message] = [] if self._saver is None else self._saver.take_news()
        differences = self._steering.ledger.script.differences
        if differences and not self._has_warned:
            # The first tells it all; there may be one at every step after it.
            self._has_warned = True
            news.append(Warned(text=differences[0]))
        return news

    def measurement(self, failed: NonFiniteLoss | None = None) -> Measurement | None:
        """Return the data of the last finished step, or of one that failed; None before any."""
        progress = self.progress
        loss = progress.train_loss if failed is None else failed.loss
        if loss is None:
            return None
        step = progress.step - 1 if failed is None else failed.step
        has_norm = failed is None and self._norm_every > 0 and step % self._norm_every == 0
        return (
            step,
            self._steering.steps,
            loss,
            progress.validation_loss,
            progress.validation_accuracy,
            progress.validation_step,
            progress.gradient_norm if has_norm else None,
        )

    def extras(self) -> Extras:
        """Return what policies `observe` beyond it, as an `Observation` ends."""
        gradients, predictions = self._learner.watch, self._predictions
        if gradients is None and predictions.is_idle:
            return ()
        if gradients is None:
            return (None, None, None, {}, *predictions.measured)
        return (*gradients.measured, gradients.group_norms, *predictions.measured)
