"""The agent's place among the policies of a run."""

from collections.abc import Mapping, Sequence

from rheostat.steering.policies import Conduct, Extras, Measurement, Wish
from rheostat_policies import Observation, RunInfo
from rheostat_policies.learned.features import Rows, rows_of
from rheostat_policies.learned.summary import is_due, next_window, note, nothing_yet


class Seat:
    """A policy whose factors somebody outside decides, between two windows of the run.

    It remembers what the `learned` policy remembers and no more, and shows what that shows its
    network. Unlike a policy in a live run it is never slow: nothing here looks at a clock.

    Args:
        run: what a policy may know of it.
        every: steps of a window.
        observes: fields of an `Observation` to measure.
    """

    def __init__(self, run: RunInfo, every: int, observes: tuple[str, ...]) -> None:
        self.name = "agent"
        self.is_shadow = False
        self.relaxes_at: int | None = None
        self.groups = tuple(group.name for group in run.groups)
        self.factors: Mapping[str, float] = dict.fromkeys(self.groups, 1.0)
        self.observes = observes
        self.record = Conduct()
        self._every = every
        self._summary = nothing_yet()
        self._wished: Mapping[str, float] = {}

    def wish(self, factors: Mapping[str, float]) -> None:
        """Have these factors, by group, from the next step on."""
        self._wished = factors

    def ask(
        self,
        measured: Measurement,
        learning_rate: Mapping[str, float],
        base: Mapping[str, float],
        extras: Extras = (),
    ) -> Wish | None:
        """Remember a step, and return what is wished; see `Attached.ask`."""
        observation = self.observation(measured, learning_rate, base, extras)
        self._summary = note(self._summary, observation)
        if is_due(self._summary, observation.step, self._every):
            self._summary = next_window(self._summary, observation.step, self._every)
        wished, self._wished = self._wished, {}
        if all(self.factors[group] == factor for group, factor in wished.items()):
            return None
        return Wish(wished, 1, "the agent's action")

    def observation(
        self,
        measured: Measurement,
        learning_rate: Mapping[str, float],
        base: Mapping[str, float],
        extras: Extras = (),
    ) -> Observation:
        """Return what `ask` sees."""
        return Observation(*measured, learning_rate, base, self.factors, *extras)

    def look(
        self, features: Sequence[str], observation: Observation, groups: Sequence[str]
    ) -> Rows:
        """Return features after the last finished step, of which `ask` is told only later.

        Args:
            features: their names.
            observation: of that step.
            groups: those to look at, a row each.
        """
        return rows_of(features, observation, note(self._summary, observation), groups)
