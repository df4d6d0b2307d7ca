"""The step boundary of a script: its LRs decided, and what its daemon asks done."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from rheostat.attaching.building import Steered
from rheostat.attaching.orders import Orders
from rheostat.attaching.probing import ScriptProber
from rheostat.attaching.quiet import Quiet
from rheostat.attaching.refusing import (
    NO_EVALUATION,
    NoProbes,
    refuse,
    refused,
)
from rheostat.attaching.remembering import Memory
from rheostat.attaching.saving import ScriptSaver
from rheostat.runs.messages import (
    Decided,
    EvaluateCommand,
    Evaluated,
    Message,
    Observed,
    Offended,
    ToTrainer,
    Warned,
)
from rheostat.steering.policies import Measurement
from rheostat.steering.records import Components
from rheostat.trainer.obeying import Obeying, answer_of
from rheostat.trainer.peers import Peer
from rheostat.trainer.progress import Progress
from rheostat.trainer.reporter import Reporter

PAUSED_POLL_SECONDS = 1.0
REPORT_SECONDS = 0.25
"""Time between two reports while nothing is asked: four a second, whatever the speed."""
LISTEN_SECONDS = 0.002
"""Time for which nobody listens to the daemon at steps where nothing happens: to ask the kernel at
each of them would cost a short step more than anything else here."""
_NOTHING: tuple[Message, ...] = ()
UNRESTORED = "unrestored"
"""Outcome of an answer that wanted to go back to a checkpoint: a script does so for people only."""

Evaluation = Callable[[], tuple[float, float | None]]
"""Looks at the script's validation set; returns loss and accuracy."""


class Boundary:
    """Crossed once before every optimizer step, in the process that talks to the daemon.

    Args:
        steered: the script's LRs.
        link: its daemon.
        progress: of the run.
        batch_size: samples of a step; 0 where the script does not say.
        memory: keeps what steers the script, for the next one; None is not to.
        saver: takes checkpoints; None where the script has not said how.
        evaluate: looks at its validation set; None where it has not said how.
    """

    def __init__(
        self,
        steered: Steered,
        link: Peer,
        progress: Progress,
        *,
        batch_size: int = 0,
        memory: Memory | None = None,
        saver: ScriptSaver | None = None,
        evaluate: Evaluation | None = None,
    ) -> None:
        self.steering = steered.steering
        self._script = steered.script
        self._link = link
        self._progress = progress
        self._memory = memory
        self._evaluation = evaluate
        self._reporter = Reporter(link, steered.steering, progress, batch_size)
        self.recorder = self._reporter.recorder
        """Takes the rows of finished steps."""
        self.orders: Orders | None = None
        """What the script is to do between two steps; None where it has not said how."""
        prober: ScriptProber | NoProbes = NoProbes()
        if saver is not None:
            prober = ScriptProber(steered, progress, link, saver.passing, self)
            self.orders = Orders(steered, progress, saver, prober, self)
        self.obeying = Obeying(
            steered.steering, progress, saver, prober, self._evaluate_for_somebody
        )
        self._quiet = Quiet(steered.steering, steered.script)
        self._early: list[ToTrainer] = []
        self._seen: Components | None = None
        self._news: list[Message] = []
        self._told: set[str] = set()
        self._report_at = 0.0
        self._listen_at = 0.0
        self.bases = steered.steering.bases
        """The base LR of each group at the newest step."""
        self.still_seconds = 0.0
        """How long the run has stood still since `take_still_seconds`."""

    def cross(self, learning_rates: list[float]) -> list[float]:
        """Decide the LRs of the step about to run; stand still before it while that is asked.

        Args:
            learning_rates: what the script wants them to be, one per group.

        Returns:
            The LRs to step with, one per group.
        """
        step, now = self._progress.step, time.perf_counter()
        heard = self._link.receive() if now >= self._listen_at else []
        if not (heard or self._news) and now < self._report_at:
            if now >= self._listen_at:
                self._listen_at = now + LISTEN_SECONDS
            rates = self._quiet.pass_over(step, learning_rates)
            if rates is not None:
                self.bases = learning_rates
                return rates
        self._listen_at = 0.0
        steering = self.steering
        policies = steering.roster.policies
        self._quiet.catch_up()
        orders = self.orders
        if orders is not None and orders.has_turned:
            orders.turn_back(learning_rates)
        else:
            self._script.take(step, learning_rates)
            steering.advance(step, self._measurement() if policies else None)
        answers = self._deal_with(heard) if heard or policies or self._early else _NOTHING
        self._settle(answers)
        if self.obeying.is_paused:
            self._stand_still()
        if orders is not None:
            orders.take(self.obeying.take_rollbacks())
        self._quiet.look()
        self.bases = steering.bases
        return steering.learning_rates

    def warn(self, text: str) -> None:
        """Have something told that whoever looks after the run should know, once."""
        if text not in self._told:
            self._told.add(text)
            self._news.append(Warned(text=text))

    def tell(self, *messages: Message) -> None:
        """Have messages sent with the next report."""
        self._news += messages

    def take_still_seconds(self) -> float:
        """Return how long the run has stood still since the last time: no part of any step."""
        seconds, self.still_seconds = self.still_seconds, 0.0
        return seconds

    def hear_later(self, commands: list[ToTrainer]) -> None:
        """Have commands carried out at the next step."""
        self._early += commands
        self.wake()

    def wake(self) -> None:
        """Have the next step not passed over, though nobody asks for anything."""
        self._report_at = 0.0

    def wait_for_daemon(self, seconds: float) -> None:
        """Wait until the daemon has heard that the script is ready, but no longer than that."""
        deadline = time.monotonic() + seconds
        while self._link.is_congested and (left := deadline - time.monotonic()) > 0:
            self._early += self._link.receive(left)

    def leave(self) -> None:
        """Tell all that has happened, and keep what the next script goes on with."""
        self.report()
        if self._memory is not None and self.steering.step >= 0:
            self._memory.keep()

    def report(self) -> None:
        """Tell all that has happened."""
        self._quiet.catch_up()
        news, self._news = self._news, []
        self._reporter.report(after=news)
        self._report_at = time.perf_counter() + REPORT_SECONDS

    def _deal_with(self, heard: list[ToTrainer]) -> list[Message]:
        """Do what was asked for, and what policies want; return the answers."""
        steering = self.steering
        if steering.roster.outbox:
            self._send_observations()
        heard, self._early = [*self._early, *heard], []
        answers = self._obey(heard)
        while not self.obeying.is_stopped and (seconds := steering.patience()) > 0:
            answers += self._obey(self._link.receive(seconds))
        self._stay_where_it_is()
        self._probe_nothing()
        if steering.components is not self._seen:
            self._seen = steering.components
            self._look_at_policies()
        return answers

    def _obey(self, commands: Sequence[ToTrainer]) -> list[Message]:
        possible, answers = refused(commands, takes_checkpoints=self.orders is not None)
        return [*answers, *self.obeying.obey(possible)]

    def _settle(self, answers: Sequence[Message]) -> None:
        """Fix the LRs of the step; tell of decisions, and answer."""
        steering = self.steering
        decisions, outcomes = steering.settle()
        offences = steering.roster.take_offences() if steering.roster.policies else ()
        if not (decisions or outcomes or answers or offences or self._news):
            if time.perf_counter() >= self._report_at:
                self.report()
                if self._memory is not None:
                    self._memory.keep_if_due()
            return
        before: list[Message] = []
        if offences:
            before.append(Offended(offences=tuple(offences)))
        if decisions:
            before.append(Decided(decisions=tuple(decisions)))
        # Decisions before the state that contains them, and answers after both.
        news, self._news = self._news, []
        self._reporter.report(*before, after=[*map(answer_of, outcomes), *answers, *news])
        self._report_at = time.perf_counter() + REPORT_SECONDS
        if decisions and self._memory is not None:
            self._memory.note(decisions)
            self._memory.keep_if_due()

    def _stand_still(self) -> None:
        """Wait while the run is paused, and see to what is asked meanwhile."""
        began = time.perf_counter()
        while self.obeying.is_paused and not self.obeying.is_stopped:
            self._settle(self._obey(self._link.receive(PAUSED_POLL_SECONDS)))
        self.still_seconds += time.perf_counter() - began

    def _stay_where_it_is(self) -> None:
        """Let a policy that wants to go back to a checkpoint have its factor here."""
        wanted = self.steering.take_wanted()
        if wanted is None:
            return
        name, wish = wanted
        policy = self.steering.roster.inside(name)
        if policy is not None:
            outcomes = policy.record.outcomes
            outcomes[UNRESTORED] = outcomes.get(UNRESTORED, 0) + 1
            policy.record.last_failure = "a script goes back to a checkpoint for people only"
        self.steering.follow_policy(name, replace(wish, restore=None))

    def _look_at_policies(self) -> None:
        """Tell of policies that will never see what they look for."""
        for policy in self.steering.roster.policies:
            if policy.observes:
                what = ", ".join(policy.observes)
                self.warn(
                    f"policy {policy.name} observes {what}, which is not measured in a script"
                )

    def _probe_nothing(self) -> None:
        """Let a policy that wants LRs tried out know nothing more than before."""
        for policy in self.steering.roster.probing:
            policy.probe = None
            self.warn(f"policy {policy.name} wants LRs tried out, which an attached script cannot")

    def _send_observations(self) -> None:
        outbox = self.steering.roster.outbox
        if not self._link.is_congested:
            self._link.send(
                *(Observed(policy=name, observation=observation) for name, observation in outbox)
            )
        outbox.clear()

    def _measurement(self) -> Measurement | None:
        """Return the data of the last finished step; None where there is no loss to show."""
        progress = self._progress
        loss = progress.train_loss
        if loss is None:
            return None
        return (
            progress.step - 1,
            self.steering.steps,
            loss,
            progress.validation_loss,
            progress.validation_accuracy,
            progress.validation_step,
            None,
        )

    def _evaluate_for_somebody(self, command: EvaluateCommand) -> Message:
        if self._evaluation is None:
            return refuse(command, NO_EVALUATION)
        loss, accuracy = self._evaluation()
        return Evaluated(
            command_id=command.command_id,
            step=self._progress.step,
            validation_loss=loss,
            validation_accuracy=accuracy,
        )
