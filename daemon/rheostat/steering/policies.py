"""Attached policies: asked at every boundary, contained when they misbehave.

Whatever a policy raises or answers, and however long it takes, the run goes on: an offence keeps
the old state and the old factor, is counted and told; one that offends again and again is benched,
which means that nobody asks it until somebody revives it.
"""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Protocol

from rheostat.steering.probes import read_probe
from rheostat.steering.records import Offence, PolicyEdit
from rheostat.steering.requests import MAX_REASON_LENGTH
from rheostat_policies import (
    KEEP,
    Action,
    Observation,
    Policy,
    Probe,
    ProbeResult,
    RunInfo,
    State,
)
from rheostat_policies.api import OBSERVABLE, Restore

KEPT = "kept"
CHANGED = "changed"
FAILED = "failed"
SLOW = "slow"
LATE = "late"
MISSED = "missed"


class PolicyHangs(BaseException):
    """Raised into a `decide` that does not return; no plug-in catches it by accident."""


BENCH_AFTER = 5
"""Offences in a row after which a policy is benched."""
SLOW_SECONDS = 0.1
"""An answer of a policy inside the trainer that takes longer is dropped, and is an offence."""

Measurement = tuple[int, int, float, float | None, float | None, int | None, float | None]
"""The data of the last finished step: step, steps, train_loss, validation_loss,
validation_accuracy, validation_step, gradient_norm, as an `Observation` starts with them.

The loop measures; steering adds what it knows itself, the LRs. A bare tuple, because one is made at
every step and nobody but `Observation` reads it."""

Extras = Sequence[Any]
"""What policies `observe` beyond a `Measurement`: how an `Observation` ends, after the LRs."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A valid action, spelled out: where the policy wants its factors to go."""

    factors: Mapping[str, float]
    """The new factor by group; only the groups it is for."""
    ramp_steps: int
    reason: str
    restore: Restore | None = None
    """Where to go back to before that; None is nowhere."""


class Attached(Protocol):
    """What steering asks of a policy, wherever it runs."""

    name: str
    is_shadow: bool
    record: "Conduct"
    factors: Mapping[str, float]
    """Its present factor by group; replaced, never changed, since policies may keep it."""
    observes: tuple[str, ...]
    """Costly fields of an `Observation` that it needs."""
    relaxes_at: int | None
    """Step at which the factor of a vanished policy starts back to 1; None is never."""

    def ask(
        self,
        measured: Measurement,
        learning_rate: Mapping[str, float],
        base: Mapping[str, float],
        extras: Extras = (),
    ) -> Wish | None:
        """Return what the policy wants changed, None when nothing.

        Args:
            measured: the data of the last finished step.
            learning_rate: the LR that step used, by group.
            base: the schedule's LR in that step, by group.
            extras: what policies `observe` beyond it, as an `Observation` ends.
        """


@dataclass(slots=True)
class Conduct:
    """How a policy has behaved."""

    outcomes: dict[str, int] = field(default_factory=lambda: {KEPT: 0, CHANGED: 0, FAILED: 0})
    """Answers so far, by outcome."""
    last_failure: str = ""
    """What the newest offence was; empty while there was none."""
    is_benched: bool = False
    is_told_benched: bool = False
    """Whether the history says that it is benched."""
    durations: list[float] = field(default_factory=list)
    """Seconds that each answer took, since somebody took them."""
    offences: list[Offence] = field(default_factory=list)
    """Answers that were dropped by the clock, since somebody took them."""
    slow_after: float = field(default_factory=lambda: SLOW_SECONDS)
    """Seconds after which an answer is dropped."""
    in_a_row: int = 0
    """Offences since the last good answer."""

    def answered(self, outcome: str, seconds: float) -> None:
        """Note a good answer."""
        self.outcomes[outcome] += 1
        self.durations.append(seconds)
        self.in_a_row = 0

    def offended(self, outcome: str, why: str) -> None:
        """Note an offence; the one too many benches the policy."""
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        self.last_failure = why
        self.in_a_row += 1
        self.is_benched = self.in_a_row >= BENCH_AFTER

    def failed(self, error: BaseException) -> None:
        """Note that it raised, or that what it answered was refused."""
        self.offended(FAILED, told(error))

    def revive(self) -> None:
        """Let it be asked again."""
        self.is_benched = self.is_told_benched = False
        self.in_a_row = 0


class AttachedPolicy:
    """A policy that runs inside the trainer, together with its state in one run.

    Args:
        name: its own, unique within the run.
        policy: what decides.
        run: what it may know beforehand.
        is_shadow: whether it decides without effect.
        interrupt: makes a context that raises out of a `decide` which never returns; none by
            default.
    """

    def __init__(
        self,
        name: str,
        policy: Policy,
        run: RunInfo,
        *,
        is_shadow: bool = False,
        interrupt: Callable[[], AbstractContextManager[object]] | None = None,
    ) -> None:
        self.name = name
        self.is_shadow = is_shadow
        self.edit: PolicyEdit | None = None
        """What it was attached with while the run trained; None where it is the spec's."""
        self.state: State = policy.initial_state(run)
        self.record = Conduct()
        self.factors: Mapping[str, float] = dict.fromkeys((one.name for one in run.groups), 1.0)
        self.observes = read_observes(policy)
        self.mends_non_finite = bool(getattr(policy, "mends_non_finite", False))
        """Whether it is asked before a loss that is not finite ends the run."""
        self.relaxes_at: int | None = None
        self.probe: Probe | None = None
        """What it wants tried out before the step begun; whoever has done so clears it."""
        self.probed: tuple[int, ProbeResult] | None = None
        """A step, and what was found before it: shown with the observation of that step."""
        self._decide = policy.decide
        self._groups = tuple(group.name for group in run.groups)
        self._interrupt = interrupt

    def ask(
        self,
        measured: Measurement,
        learning_rate: Mapping[str, float],
        base: Mapping[str, float],
        extras: Extras = (),
    ) -> Wish | None:
        """See `Attached.ask`."""
        if self.record.is_benched:
            return None
        begun = perf_counter()
        try:
            observation = Observation(*measured, learning_rate, base, self.factors, *extras)
            if self.probed is not None and self.probed[0] <= measured[0]:
                (step, found), self.probed = self.probed, None
                if step == measured[0]:
                    observation = observation._replace(probe=found)
            if self._interrupt is None:
                action, state = self._decide(self.state, observation)
            else:
                with self._interrupt():
                    action, state = self._decide(self.state, observation)
            wish = None if action is KEEP else read_action(action, self._groups)
            probe = None if action.probe is None else read_probe(action.probe)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # anything, sys.exit() too; the run must not care
            self.record.failed(error)
            if isinstance(error, PolicyHangs):
                self._drop(measured[0], FAILED)
            return None
        seconds = perf_counter() - begun
        if seconds > self.record.slow_after:
            self.record.offended(SLOW, f"it took {seconds:.2f} s to decide")
            self._drop(measured[0], SLOW)
            return None
        self.state, self.probe = state, probe
        self.record.answered(KEPT if wish is None else CHANGED, seconds)
        return wish

    def _drop(self, step: int, outcome: str) -> None:
        """Have it told that an answer was dropped by the clock."""
        reason = self.record.last_failure
        self.record.offences.append(
            Offence(policy=self.name, step=step, outcome=outcome, reason=reason)
        )


def read_observes(policy: Policy) -> tuple[str, ...]:
    """Return the costly fields of an `Observation` that a policy says it needs.

    Raises:
        ValueError, TypeError: if there are no such fields.
    """
    names = tuple(getattr(policy, "observes", ()))
    for name in names:
        if name not in OBSERVABLE:
            raise ValueError(f"it observes {name!r}, which is none of {', '.join(OBSERVABLE)}")
    return names


def read_action(action: Action, groups: Sequence[str]) -> Wish | None:
    """Return what an action means, None where it keeps everything.

    Raises:
        ValueError, TypeError: if it asks for what cannot be.
    """
    factor, restore = action.factor, action.restore
    if factor is None and restore is None:
        return None
    if restore is not None:
        _check_restore(restore)
    if factor is None:
        factor = {}
    factors = factor if isinstance(factor, Mapping) else dict.fromkeys(groups, factor)
    for group, value in factors.items():
        if group not in groups:
            raise ValueError(f"it asked for the unknown group {group!r}")
        if not isinstance(value, float | int) or not math.isfinite(value) or not value > 0:
            raise ValueError(f"it asked for a factor of {value!r} for group {group}")
    ramp_steps = operator.index(action.ramp_steps)
    if ramp_steps < 1:
        raise ValueError(f"it asked for a ramp of {ramp_steps} steps")
    reason = action.reason
    if not isinstance(reason, str) or len(reason.encode()) > MAX_REASON_LENGTH:
        raise ValueError(f"its reason is no text of at most {MAX_REASON_LENGTH} bytes")
    # numpy's numbers pass for ours everywhere but in a message.
    wanted = {group: float(value) for group, value in factors.items()}
    return Wish(wanted, ramp_steps, reason, restore)


def _check_restore(restore: Restore) -> None:
    back, skip = operator.index(restore.back_steps), operator.index(restore.skip_beyond)
    if back < 1 or skip < 0:
        raise ValueError(f"it asked to go back {back} steps and to leave out {skip} more batches")


def told(error: BaseException) -> str:
    """Return an error in words, whatever its author thought an error is."""
    try:
        text = f"{type(error).__name__}: {error}"
    except Exception:
        text = f"{type(error).__name__}, which cannot be printed"
    return text.encode("utf-8", "backslashreplace")[:MAX_REASON_LENGTH].decode("utf-8", "ignore")
