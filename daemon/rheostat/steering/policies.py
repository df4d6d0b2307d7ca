"""An attached policy: asked at every boundary, contained when it misbehaves."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rheostat_policies import KEEP, Action, Observation, Policy, RunInfo, State

KEPT = "kept"
CHANGED = "changed"
FAILED = "failed"


Measurement = tuple[int, int, float, float | None, float | None, int | None, float | None]
"""The data of the last finished step: step, steps, train_loss, validation_loss,
validation_accuracy, validation_step, gradient_norm, as an `Observation` starts with them.

The loop measures; steering adds what it knows itself, the LRs. A bare tuple, because one is made at
every step and nobody but `Observation` reads it."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A valid action, spelled out: where the policy wants its factors to go."""

    factors: Mapping[str, float]
    """The new factor by group; only the groups it is for."""
    ramp_steps: int
    reason: str


class AttachedPolicy:
    """A policy together with its state in one run.

    Whatever `decide` raises or answers, the run goes on: a failure keeps the old state and the old
    factor and is counted; its text is kept for whoever looks.
    """

    def __init__(self, name: str, policy: Policy, run: RunInfo) -> None:
        self.name = name
        self.state: State = policy.initial_state(run)
        self.outcomes = {KEPT: 0, CHANGED: 0, FAILED: 0}
        """Answers so far, by outcome."""
        self.last_failure = ""
        """What the newest failure said; empty while there was none."""
        self.factors: Mapping[str, float] = dict.fromkeys((one.name for one in run.groups), 1.0)
        """Its present factor by group; replaced, never changed, since policies may keep it."""
        self.observes: tuple[str, ...] = tuple(getattr(policy, "observes", ()))
        """Costly fields of an `Observation` that it needs at every step."""
        self._policy = policy
        self._groups = tuple(group.name for group in run.groups)

    def ask(
        self,
        measured: Measurement,
        learning_rate: Mapping[str, float],
        base: Mapping[str, float],
        extras: Sequence[float | None] = (),
    ) -> Wish | None:
        """Return what the policy wants changed, None when nothing.

        Args:
            measured: the data of the last finished step.
            learning_rate: the LR that step used, by group.
            base: the schedule's LR in that step, by group.
            extras: what policies `observe` beyond it, as an `Observation` ends.
        """
        try:
            observation = Observation(*measured, learning_rate, base, self.factors, *extras)
            action, state = self._policy.decide(self.state, observation)
            wish = None if action is KEEP else self._read(action)
        except Exception as error:  # a plug-in may raise anything; the run must not care
            self.outcomes[FAILED] += 1
            self.last_failure = f"{type(error).__name__}: {error}"
            return None
        self.state = state
        self.outcomes[KEPT if wish is None else CHANGED] += 1
        return wish

    def _read(self, action: Action) -> Wish | None:
        factor = action.factor
        if factor is None:
            return None
        factors = factor if isinstance(factor, Mapping) else dict.fromkeys(self._groups, factor)
        for group, value in factors.items():
            if group not in self._groups:
                raise ValueError(f"it asked for the unknown group {group!r}")
            if not isinstance(value, float | int) or not math.isfinite(value) or not value > 0:
                raise ValueError(f"it asked for a factor of {value!r} for group {group}")
        if action.ramp_steps < 1:
            raise ValueError(f"it asked for a ramp of {action.ramp_steps!r} steps")
        return Wish(factors, action.ramp_steps, action.reason)
