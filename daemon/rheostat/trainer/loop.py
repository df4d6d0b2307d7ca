"""The training loop, and the step boundary where everything else happens."""

import time
from collections.abc import Sequence

from rheostat.runs.messages import (
    Applied,
    ChangeCommand,
    Decided,
    Message,
    Observed,
    PauseCommand,
    Paused,
    PolicyAnswer,
    PolicyVanished,
    ResumeCommand,
    Resumed,
    StopCommand,
    Telemetry,
    ToTrainer,
)
from rheostat.runs.records import Result, Snapshot
from rheostat.steering.policies import Extras, Measurement
from rheostat.steering.records import Decision
from rheostat.steering.steering import Outcome
from rheostat.trainer.actuator import Actuator
from rheostat.trainer.building import Parts
from rheostat.trainer.compiling import is_compiled
from rheostat.trainer.learning import Learner
from rheostat.trainer.modes import evaluating, train_mode
from rheostat.trainer.peers import Peer
from rheostat.trainer.predictions import PredictionWatch
from rheostat.trainer.ranks import Ranks
from rheostat.trainer.recorder import Recorder, pack
from rheostat.trainer.refusals import refusal
from rheostat.trainer.validation import validate
from rheostat_policies import Action

REPORT_SECONDS = 0.05
"""Time between two telemetry messages while nothing is asked: 20 a second, whatever the speed."""
SLOW_STEP_SECONDS = 0.01
"""A step this long can afford a report of its own: one costs a hundredth of it."""
PAUSED_POLL_SECONDS = 1.0


class Loop:
    """Trains a run from its first step to its last.

    At each boundary: data of the step before and requests that arrived meanwhile decide the LRs,
    which are written once; then the step runs. The daemon is told in batches.
    """

    def __init__(self, parts: Parts, link: Peer, ranks: Ranks) -> None:
        self.parts = parts
        self.step = 0
        """Number of finished steps, and so the index of the next."""
        self.is_stopped = False
        """Whether a StopCommand ended the run."""
        self._link = link
        self._ranks = ranks
        self._steering = parts.steering
        compiles = parts.spec.train.compile and is_compiled(parts.optimizer)
        self._actuator = Actuator(parts.optimizer, is_compiled=compiles)
        self._recorder = Recorder([group.name for group in parts.groups])
        train = parts.spec.train
        self._learner = Learner(
            parts.model,
            parts.loss,
            parts.optimizer,
            train,
            parts.device,
            groups=[group.name for group in parts.groups],
        )
        self._predictions = PredictionWatch(parts.model)
        self._validation = parts.validation
        self._batch_size = parts.spec.data.batch_size
        self._observes: frozenset[str] = frozenset()
        self._norm_every = train.gradient_norm_every
        self._validate_every = parts.spec.evaluate.every or parts.batches.steps_per_epoch
        self._momenta: Sequence[float | None] = [None] * len(parts.groups)
        self._is_paused = False
        self._train_loss: float | None = None
        self._gradient_norm: float | None = None
        self._validation_loss: float | None = None
        self._validation_accuracy: float | None = None
        self._validation_step: int | None = None
        self._boundary_at = self._reported_at = self._speed_since = time.perf_counter()
        self._speed_since_step = 0
        self._duration = 0.0
        self._steps_per_second: float | None = None
        self._look_at_policies()

    def run(self) -> Result:
        """Train to the planned end or until told to stop, and return how it ended.

        Raises:
            NonFiniteLoss: if a loss is not finite.
        """
        train_mode(self.parts.model, self.parts.optimizer)
        while self.step < self._steering.steps and not self.is_stopped:
            self.advance(self._steering.steps - self.step)
        if self._validation_step != self.step:
            self._validate()
        self.report()
        return Result(
            steps=self.step,
            train_loss=self._train_loss,
            validation_loss=self._validation_loss,
            validation_accuracy=self._validation_accuracy,
        )

    def advance(self, steps: int) -> None:
        """Train up to some more steps; fewer when the run ends or is stopped."""
        end = self.step + steps
        # The horizon may move while we go.
        while self.step < min(end, self._steering.steps):
            self._steer()
            if self.is_stopped:
                break
            self._learn()
            if self.step % self._validate_every == 0:
                self._validate()

    def report(self, *before: Message, after: Sequence[Message] = ()) -> None:
        """Tell the daemon what has happened, with other messages around it."""
        now = time.perf_counter()
        seconds = now - self._speed_since
        if seconds >= REPORT_SECONDS:
            self._steps_per_second = (self.step - self._speed_since_step) / seconds
            self._speed_since, self._speed_since_step = now, self.step
        self._reported_at = now
        rows = self._recorder.take()
        durations = self._steering.roster.take_durations()
        telemetry = Telemetry(
            snapshot=self._snapshot(),
            rows=rows,
            policy_durations={name: pack(seconds) for name, seconds in durations.items()},
        )
        self._link.send(*before, telemetry, *after)

    def _steer(self) -> None:
        """Decide and write the LRs of the step about to run."""
        steering = self._steering
        steering.advance(self.step, self.measurement(), self.extras())
        if steering.roster.outbox:
            self._send_observations()
        answers = self._obey(self._link.receive())
        while not self.is_stopped and (seconds := steering.patience()) > 0:
            answers += self._obey(self._link.receive(seconds))
        self._settle(answers)
        while self._is_paused and not self.is_stopped:
            self._settle(self._obey(self._link.receive(PAUSED_POLL_SECONDS)))

    def _send_observations(self) -> None:
        outbox = self._steering.roster.outbox
        if not self._link.is_congested:
            self._link.send(
                *(Observed(policy=name, observation=observation) for name, observation in outbox)
            )
        outbox.clear()

    def _obey(self, commands: Sequence[ToTrainer]) -> list[Message]:
        """Carry out commands, and return the answers to those that steering does not answer."""
        answers: list[Message] = []
        for command in commands:
            match command:
                case ChangeCommand():
                    self._steering.submit(command.command_id, command.change)
                case PolicyAnswer():
                    self._steering.answer(command.policy, command.step, _action(command))
                case PolicyVanished():
                    self._steering.vanish(command.policy)
                case PauseCommand():
                    self._is_paused = True
                    answers.append(Paused(step=self.step))
                case ResumeCommand():
                    self._is_paused = False
                    answers.append(Resumed(step=self.step))
                case StopCommand():
                    self.is_stopped = True
        return answers

    def _settle(self, answers: list[Message]) -> None:
        """Fix the LRs of the step and write them; tell of decisions, and answer."""
        decisions, outcomes = self._steering.settle()
        self._write()
        if decisions or outcomes or answers:
            answers += [_answer(outcome) for outcome in outcomes]
            self._report_decisions(decisions, answers)
            self._look_at_policies()
        elif (
            self._duration >= SLOW_STEP_SECONDS
            or time.perf_counter() - self._reported_at >= REPORT_SECONDS
        ):
            self.report()

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

    def _report_decisions(self, decisions: list[Decision], answers: list[Message]) -> None:
        """Send decisions before the state that contains them, and answers after both.

        So whoever gets an answer finds it in the history and in the metrics already.
        """
        before = [Decided(decisions=tuple(decisions))] if decisions else []
        self.report(*before, after=answers)

    def _learn(self) -> None:
        """Run one step and note what it did."""
        step = self.step
        measure_norm = self._norm_every > 0 and step % self._norm_every == 0
        inputs, targets = self.parts.batches.batch(step)
        self._train_loss = self._learner.learn(step, inputs, targets, measure_norm)
        if measure_norm and self._learner.gradient_norm is not None:
            self._gradient_norm = float(self._learner.gradient_norm)
            self._recorder.record_gradient_norm(step, self._gradient_norm)
        now = time.perf_counter()
        self._duration, self._boundary_at = now - self._boundary_at, now
        steering = self._steering
        self._recorder.record(
            step,
            self._train_loss,
            steering.learning_rates,
            steering.bases,
            steering.components,
            self._momenta,
            self._duration,
        )
        self.step = step + 1

    def _validate(self) -> None:
        parts, watch = self.parts, self._predictions
        with evaluating(parts.model, parts.optimizer):
            see = None if watch.is_idle else watch.see
            loss, accuracy = validate(parts.model, parts.loss, self._validation, see)
            watch.finish()
        self._validation_loss, self._validation_accuracy = loss, accuracy
        self._validation_step = self.step
        self._recorder.record_validation(self.step, loss, accuracy)

    def measurement(self) -> Measurement | None:
        """Return the data of the last finished step; None before the first."""
        if self._train_loss is None:
            return None
        step = self.step - 1
        has_norm = self._norm_every > 0 and step % self._norm_every == 0
        return (
            step,
            self._steering.steps,
            self._train_loss,
            self._validation_loss,
            self._validation_accuracy,
            self._validation_step,
            self._gradient_norm if has_norm else None,
        )

    def extras(self) -> Extras:
        """Return what policies `observe` beyond it, as an `Observation` ends."""
        gradients, predictions = self._learner.watch, self._predictions
        if gradients is None and predictions.is_idle:
            return ()
        if gradients is None:
            return (None, None, None, {}, *predictions.measured)
        return (*gradients.measured, gradients.group_norms, *predictions.measured)

    def _snapshot(self) -> Snapshot:
        steering = self._steering
        return Snapshot(
            step=self.step,
            revision=steering.revision,
            groups=steering.states(),
            in_force=steering.revisions_in_force(),
            train_loss=self._train_loss,
            gradient_norm=self._gradient_norm,
            validation_loss=self._validation_loss,
            validation_accuracy=self._validation_accuracy,
            validation_step=self._validation_step,
            samples=self.step * self._batch_size,
            steps_per_second=self._steps_per_second,
            guardrail_interventions=dict(steering.interventions),
            policies=steering.roster.statuses(),
        )


def _action(answer: PolicyAnswer) -> Action:
    return Action(factor=answer.factor, ramp_steps=answer.ramp_steps, reason=answer.reason)


def _answer(outcome: Outcome) -> Message:
    if isinstance(outcome.result, Decision):
        return Applied(command_id=outcome.ticket, decision=outcome.result)
    return refusal(outcome.ticket, outcome.result)
