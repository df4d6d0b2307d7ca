"""The step boundary: where LRs are decided and written, and all that is asked is done."""

from collections.abc import Collection

from rheostat.runs.messages import Decided, Message, Observed, Offended, Warned
from rheostat.steering.records import Components
from rheostat.trainer.building import Parts
from rheostat.trainer.checkpoints.saver import Gather, Saver
from rheostat.trainer.checkpoints.state import State
from rheostat.trainer.equipment import Equipment
from rheostat.trainer.learning import NonFiniteLoss
from rheostat.trainer.obeying import Evaluate, Obeying, answer_of
from rheostat.trainer.peers import Peer
from rheostat.trainer.probing import Prober
from rheostat.trainer.progress import Progress
from rheostat.trainer.ranks import Ranks
from rheostat.trainer.reporter import Reporter
from rheostat.trainer.returning import Returning

PAUSED_POLL_SECONDS = 1.0
SAVING_POLL_SECONDS = 0.05
"""The same while somebody waits for a checkpoint."""


class Boundary:
    """What happens between two steps of a run.

    Data of the step before and requests that arrived meanwhile decide the LRs, which are written
    once; then the daemon is told, a checkpoint is taken, and the run goes back, stands still and
    probes, as somebody wants it to.

    Args:
        parts: of the run.
        progress: of the run.
        link: its daemon.
        ranks: the processes that train it.
        reporter: tells the daemon.
        equipment: of the run.
        saver: takes its checkpoints; None is to take none.
        evaluate: looks at the validation set.
        gather: returns the run's state.
        is_settled: whether the LRs of the step to come are what they were made before the run was
            interrupted.
    """

    def __init__(
        self,
        parts: Parts,
        progress: Progress,
        link: Peer,
        ranks: Ranks,
        reporter: Reporter,
        equipment: Equipment,
        saver: Saver | None,
        *,
        evaluate: Evaluate,
        gather: Gather,
        is_settled: bool,
    ) -> None:
        self._steering = parts.steering
        self._progress = progress
        self._link = link
        self._ranks = ranks
        self._reporter = reporter
        self._equipment = equipment
        self._saver = saver
        self._gather = gather
        self._is_settled = is_settled
        self._prober = Prober(parts, link, ranks)
        self._obeying = Obeying(parts.steering, progress, saver, self._prober, evaluate)
        self._returning = Returning(parts, progress, saver, ranks, self._renew)
        self._components: Components | None = None
        self._has_warned = False

    @property
    def is_stopped(self) -> bool:
        """Whether a StopCommand ended the run."""
        return self._obeying.is_stopped

    def cross(self, duration: float) -> float:
        """Decide and write the LRs of the step about to run, and do what is asked.

        Args:
            duration: of the step before, in seconds.

        Returns:
            The seconds that went into probes.
        """
        steering, equipment = self._steering, self._equipment
        if self._is_settled:
            self._is_settled = False
        else:
            readings = equipment.readings
            acted = None if readings is None else readings.acted
            measured, extras = equipment.measurement(), equipment.extras()
            steering.advance(self._progress.step, measured, extras, acted)
        if steering.roster.outbox:
            self._send_observations()
        answers = self._obeying.obey([*self._prober.take_late(), *self._link.receive()])
        while not self.is_stopped and (seconds := steering.patience()) > 0:
            answers += self._obeying.obey(self._link.receive(seconds))
            self._ranks.stand_by()
        self._settle(answers, duration)
        self._turn_back()
        self._stand_still()
        probed = 0.0
        while self._prober.is_due and not self.is_stopped:
            probed += self._probe()
        return probed

    def mend(self, error: NonFiniteLoss) -> None:
        """Let a policy take the run back, around the batch of the step that could not be finished.

        Raises:
            NonFiniteLoss: the same, if none does.
        """
        measured = self._equipment.measurement(error)
        assert measured is not None
        self._steering.mend(measured, self._equipment.extras())
        # A step that was only found to be bad later is finished, and counts by itself.
        problem = self._turn_back(bad_batches=0 if error.left_out else 1)
        if problem is None:
            raise error
        if problem:
            error.add_note(f"no way back: {problem}")
            raise error
        self._is_settled = True

    def news(self) -> list[Message]:
        """Return what became of checkpoints, and what came out otherwise than it was."""
        news: list[Message] = [] if self._saver is None else self._saver.take_news()
        differences = self._steering.ledger.script.differences
        if differences and not self._has_warned:
            # The first tells it all; there may be one at every step after it.
            self._has_warned = True
            news.append(Warned(text=differences[0]))
        return news

    def _renew(self, state: State) -> None:
        self._equipment.renew(state)
        self._components = None

    def _send_observations(self) -> None:
        outbox = self._steering.roster.outbox
        if not self._link.is_congested:
            self._link.send(
                *(Observed(policy=name, observation=observation) for name, observation in outbox)
            )
        outbox.clear()

    def _settle(self, answers: Collection[Message] = (), duration: float = 0.0) -> None:
        """Fix the LRs of the step and write them; tell of decisions, and answer."""
        steering, saver = self._steering, self._saver
        decisions, outcomes = steering.settle()
        self._equipment.write()
        if steering.components is not self._components:
            self._components = steering.components
            self._equipment.look_at_policies()
        before: list[Message] = []
        if offences := steering.roster.take_offences():
            before.append(Offended(offences=tuple(offences)))
        if decisions:
            before.append(Decided(decisions=tuple(decisions)))
        after = [*answers, *self.news()]
        if before or outcomes or after:
            # Decisions before the state that contains them, and answers after both: so whoever
            # gets an answer finds it in the history and in the metrics already.
            self._reporter.report(*before, after=[*map(answer_of, outcomes), *after])
        elif self._reporter.is_due(duration):
            self._reporter.report()
        if saver is not None:
            saver.look(self._progress, self._gather)

    def _stand_still(self) -> None:
        """Wait while the run is paused, and see to what is asked meanwhile."""
        if self._obeying.is_paused:
            self._equipment.collect()
        while self._obeying.is_paused and not self.is_stopped:
            is_saving = self._saver is not None and self._saver.is_busy
            seconds = SAVING_POLL_SECONDS if is_saving else PAUSED_POLL_SECONDS
            self._settle(self._obeying.obey(self._link.receive(seconds)))
            self._turn_back()
            self._ranks.stand_by()

    def _turn_back(self, bad_batches: int = 0) -> str | None:
        """Go back to a checkpoint if a policy wants to, and as often as operators do.

        Args:
            bad_batches: batches of steps that were begun and not finished.

        Returns:
            Why a policy's wish could not be fulfilled, empty where it was; None where none had one.
        """
        problem = None
        if (wanted := self._steering.take_wanted()) is not None:
            self._equipment.collect()
            self._reporter.report()
            problem = self._returning.follow(*wanted, bad_batches=bad_batches)
            self._settle()
        for command in self._obeying.take_rollbacks():
            self._equipment.collect()
            self._reporter.report()
            self._settle(self._returning.obey(command))
        return problem

    def _probe(self) -> float:
        """Try what is to be tried before the step begun, unless the run pauses or stops first.

        Returns:
            The seconds that it took.
        """
        equipment = self._equipment
        answers = self._prober.work(self._progress.step, equipment.learner, equipment.actuator)
        seconds = self._prober.seconds
        if self._prober.is_interrupted:
            answers += self._obeying.obey(self._prober.take_late())
        self._settle(answers)
        self._stand_still()
        return seconds
