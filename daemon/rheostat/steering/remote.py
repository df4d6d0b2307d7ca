"""A policy that answers over the network: observations go out, answers come when they come.

Nothing here waits. The loop sends what is in the outbox, passes answers on, and lets a step wait
for a policy in lockstep no longer than its deadline.
"""

from collections.abc import Mapping, Sequence
from time import perf_counter

from rheostat.steering.policies import (
    CHANGED,
    KEPT,
    LATE,
    MISSED,
    Conduct,
    Extras,
    Measurement,
    Wish,
    read_action,
)
from rheostat.steering.records import RemoteTerms
from rheostat_policies import Action, Observation

LOCKSTEP = "lockstep"
MAX_UNANSWERED = 1000
"""Observations whose answer is still waited for; the oldest are given up."""


class RemotePolicy:
    """A remote policy's part in one run.

    Args:
        name: its own, unique within the run.
        terms: how it takes part.
        groups: names of the run's groups.
        outbox: where observations for it go, with its name.
        is_shadow: whether it decides without effect.
    """

    def __init__(
        self,
        name: str,
        terms: RemoteTerms,
        groups: Sequence[str],
        outbox: list[tuple[str, Observation]],
        *,
        is_shadow: bool = False,
    ) -> None:
        self.name = name
        self.terms = terms
        self.is_shadow = is_shadow
        self.is_connected = True
        self.relaxes_at: int | None = None
        """Step at which the factor of a vanished policy starts back to 1; None is never."""
        self.record = Conduct()
        self.factors: Mapping[str, float] = dict.fromkeys(groups, 1.0)
        self.observes = terms.observes
        self._groups = tuple(groups)
        self._outbox = outbox
        self._sent: dict[int, float] = {}
        """When the observation of a step went out, for those not yet answered."""

    def ask(
        self,
        measured: Measurement,
        learning_rate: Mapping[str, float],
        base: Mapping[str, float],
        extras: Extras = (),
    ) -> Wish | None:
        """Put an observation into the outbox, where one is due; see `Attached.ask`."""
        step = measured[0]
        if not self.is_connected or self.record.is_benched or step % self.terms.every:
            return None
        observation = Observation(*measured, learning_rate, base, self.factors, *extras)
        self._outbox.append((self.name, observation))
        self._sent[step] = perf_counter()
        if len(self._sent) > MAX_UNANSWERED:
            del self._sent[next(iter(self._sent))]
        return None

    @property
    def patience(self) -> float:
        """Seconds that the step about to run may still wait for an answer; 0 is none."""
        if self.terms.mode != LOCKSTEP or not self._sent or not self.is_connected:
            return 0.0
        deadline = self.terms.deadline
        assert deadline is not None
        remaining = deadline - (perf_counter() - next(reversed(self._sent.values())))
        if remaining > 0:
            return remaining
        self._sent.clear()
        self.record.offended(MISSED, f"no answer within its deadline of {deadline:g} s")
        return 0.0

    def answer(self, step: int, action: Action) -> Wish | None:
        """Take the answer to the observation of a step; return what it wants, None when nothing.

        An answer that nobody waits for any more is dropped and counted as late.
        """
        sent = self._sent.get(step)
        if sent is None or self.record.is_benched:
            self._drop(LATE)
            return None
        seconds = perf_counter() - sent
        # Whoever answers a step has passed over those before it.
        self._sent = {later: at for later, at in self._sent.items() if later > step}
        deadline = self.terms.deadline
        if deadline is not None and seconds > deadline:
            self._drop(LATE)
            return None
        try:
            wish = read_action(action, self._groups)
        except (ValueError, TypeError) as error:
            self.record.failed(error)
            return None
        self.record.answered(KEPT if wish is None else CHANGED, seconds)
        return wish

    def vanish(self, step: int) -> None:
        """Note that its connection is gone; its factor stays for a while, then relaxes."""
        self.is_connected = False
        self._sent.clear()
        if self.terms.relax_steps:
            self.relaxes_at = step + self.terms.hold_steps

    def come_back(self, terms: RemoteTerms) -> None:
        """Note that it is there again, with its factor as it stands."""
        self.terms = terms
        self.observes = terms.observes
        self.is_connected = True
        self.relaxes_at = None
        self.record.revive()

    def _drop(self, outcome: str) -> None:
        outcomes = self.record.outcomes
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
