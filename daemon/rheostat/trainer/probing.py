"""Trials of LRs from the present state: some steps with each, and back to it."""

import math
import time
from collections.abc import Callable, Sequence
from functools import partial

from rheostat.errors import FailedPrecondition
from rheostat.runs.messages import (
    Message,
    PauseCommand,
    ProbeCommand,
    Probed,
    StopCommand,
    ToTrainer,
)
from rheostat.steering.policies import AttachedPolicy
from rheostat.steering.probes import bounds_of, with_factor, with_learning_rate
from rheostat.trainer.actuator import Actuator
from rheostat.trainer.building import Parts
from rheostat.trainer.learning import Learner, NonFiniteLoss
from rheostat.trainer.peers import Peer
from rheostat.trainer.ranks import Ranks, Restorable
from rheostat.trainer.refusals import refusal
from rheostat_policies import ProbeResult

Rates = Callable[[int], list[float]]
"""The LR of each group at a step of a trial."""
Attempt = Callable[[Rates, int], tuple[float, ...]]
"""Makes one trial of so many steps, and returns the loss of each."""


class _Interrupted(Exception):
    """Somebody wants the run to pause or to stop."""


class Prober:
    """Makes the probes that operators and policies ask for, between two steps of a run.

    A trial trains on the batches that come next, with momenta as they are. Nobody is asked, nothing
    is recorded, and a loss that is not finite ends that trial alone; afterwards model, optimizer
    and generators are as they were, bit for bit.

    What arrives meanwhile waits for the next boundary, so that a probe depends on the state of the
    run and on nothing else. A pause or a stop does not wait: it interrupts the probe, which is then
    refused to an operator; what a policy asked for begins anew when the run goes on.

    Args:
        parts: of the run.
        link: where commands come from.
        ranks: the processes that train it.
    """

    def __init__(self, parts: Parts, link: Peer, ranks: Ranks) -> None:
        self._parts = parts
        self._link = link
        self._ranks = ranks
        self._asked: list[ProbeCommand] = []
        self._late: list[ToTrainer] = []
        self.is_interrupted = False
        """Whether somebody wants the run to pause or to stop, in what `take_late` returns."""
        self.seconds = 0.0
        """How long the newest probes took, together."""

    @property
    def is_due(self) -> bool:
        """Whether there is something to try before the step begun."""
        return bool(self._asked) or next(self._parts.steering.roster.probing, None) is not None

    def ask(self, command: ProbeCommand, *, is_paused: bool) -> list[Message]:
        """Take an operator's probe, or return its refusal."""
        script, step = self._parts.steering.ledger.script, self._parts.steering.step
        if is_paused:
            why = "the run is paused: resume it first, since a probe trains"
        elif script.covers(step):
            why = f"the run does again what it had done, until step {script.end}: ask again then"
        else:
            self._asked.append(command)
            return []
        return [refusal(command.command_id, FailedPrecondition(why))]

    def refuse(self, why: str) -> list[Message]:
        """Return the refusals of what operators have asked for and not got."""
        asked, self._asked = self._asked, []
        return [refusal(one.command_id, FailedPrecondition(why)) for one in asked]

    def take_late(self) -> list[ToTrainer]:
        """Return the commands that came while something was tried."""
        late, self._late, self.is_interrupted = self._late, [], False
        return late

    def work(self, step: int, learner: Learner, actuator: Actuator) -> list[Message]:
        """Make every probe that is due, until it is interrupted; return operators' answers.

        Args:
            step: the one begun, whose LRs are written.
            learner: takes the run's steps.
            actuator: writes its LRs.
        """
        began = time.perf_counter()
        answers: list[Message] = []
        watch, learner.watch = learner.watch, None
        norm = learner.gradient_norm
        snapshot = self._ranks.snapshot(self._parts)
        attempt = partial(self._try, step, learner, actuator, snapshot)
        try:
            policies = list(self._parts.steering.roster.probing)
            found = [self._for_policy(policy, step, attempt) for policy in policies]
            while self._asked:
                answers.append(self._for_operator(self._asked[0], step, attempt))
                del self._asked[0]
        except _Interrupted:
            self.is_interrupted = True
        else:
            for policy, result in zip(policies, found, strict=True):
                policy.probe, policy.probed = None, (step, result)
        finally:
            learner.watch, learner.gradient_norm = watch, norm
            self.seconds = time.perf_counter() - began
        return answers

    def _for_policy(self, policy: AttachedPolicy, step: int, attempt: Attempt) -> ProbeResult:
        probe, groups, began = policy.probe, self._parts.steering.groups, time.perf_counter()
        assert probe is not None
        rates = [partial(with_factor, groups, policy.name, factor) for factor in probe.factors]
        losses = [attempt(one, probe.steps) for one in rates]
        tried = f"{len(rates)} factors for {probe.steps} steps each"
        seconds = time.perf_counter() - began
        print(f"step {step}: {policy.name} tried {tried}, in {seconds:.2f} s", flush=True)
        return ProbeResult(probe.factors, tuple(losses))

    def _for_operator(self, command: ProbeCommand, step: int, attempt: Attempt) -> Probed:
        began = time.perf_counter()
        groups, lrs = self._parts.steering.groups, command.learning_rates
        names = command.groups or tuple(group.name for group in groups)
        rates = [partial(with_learning_rate, groups, names, lr) for lr in lrs]
        losses = [attempt(one, command.steps) for one in rates]
        used, guardrails = bounds_of(groups, names, lrs)
        return Probed(
            command_id=command.command_id,
            step=step,
            losses=tuple(losses),
            used=used,
            guardrails=guardrails,
            seconds=time.perf_counter() - began,
        )

    def _try(
        self,
        step: int,
        learner: Learner,
        actuator: Actuator,
        snapshot: Restorable,
        rates: Rates,
        steps: int,
    ) -> tuple[float, ...]:
        """Train some steps, put everything back, and return the loss of each.

        Raises:
            _Interrupted: if somebody wants the run to pause or to stop; everything is back then.
        """
        losses: list[float] = []
        skipped = self._parts.steering.course.skipped
        try:
            for at in range(step, step + steps):
                self._look_up()
                tried = rates(at)
                actuator.write(tried)
                self._ranks.begin_step(self._parts, at + skipped, tried, False, is_trial=True)
                inputs, targets = self._parts.batches.batch(at + skipped)
                losses.append(learner.learn(at, inputs, targets, measure_norm=False))
        except NonFiniteLoss as error:
            losses.append(error.loss)
        except _Interrupted:
            raise
        except Exception as error:
            # An LR far too high breaks some optimizers before it breaks the loss.
            print(f"a trial ended at its step {len(losses)}: {error!r}", flush=True)
            losses.append(math.nan)
        finally:
            snapshot.restore()
            actuator.write(self._parts.steering.learning_rates)
        return tuple(losses)

    def _look_up(self) -> None:
        """Look for orders, as the loop does before each of its steps."""
        received: Sequence[ToTrainer] = self._link.receive()
        self._late += received
        if any(isinstance(one, PauseCommand | StopCommand) for one in received):
            raise _Interrupted
