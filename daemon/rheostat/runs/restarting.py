"""Whether a run whose trainer has died gets another, and when."""

from typing import Literal

import msgspec

from rheostat.runs.records import Failure

Reason = Literal["killed", "exited", "failed", "lost"]
"""How a trainer ended: by a signal, by itself without a word, with an exception that it told of, or
unseen, because another daemon had started it."""

_REPEATS = frozenset({"InvalidSpec", "NonFiniteLoss"})
"""Exceptions that the same spec and the same steps would only raise again."""


class TrackRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How the trainers of a run have fared so far."""

    reached: int = 0
    """The farthest step that one of them finished, counted from 1."""
    fruitless: int = 0
    """How many have died in a row without getting farther than those before."""


class Death(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a trainer that did not end its run."""

    reason: Reason
    failure: Failure
    """What is to be told if the run ends with it."""
    step: int
    """Number of steps finished when it was last heard of."""
    has_stepped: bool
    """Whether it had finished a step of its own."""

    @property
    def would_repeat(self) -> bool:
        """Whether another trainer would die the same death for sure.

        Before the first step nothing but the spec and what it names has been at work; only a signal
        comes from elsewhere.
        """
        if self.failure.kind in _REPEATS or self.failure.violations:
            return True
        return not self.has_stepped and self.reason in {"exited", "failed"}


class RestartPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How patient the daemon is with trainers that die."""

    max_restarts: int = 3
    """In a row, of trainers that get no farther than those before; 0 is none at all."""
    first_delay: float = 1.0
    """Seconds before a restart after some progress; twice as many after each without any."""
    longest_delay: float = 60.0

    def judge(self, record: TrackRecord, death: Death) -> tuple[TrackRecord, float | None]:
        """Return the record with one more death, and the seconds until the next trainer may start.

        None instead of seconds means that the run has failed.
        """
        is_farther = death.step > record.reached
        fruitless = 0 if is_farther else record.fruitless + 1
        record = TrackRecord(reached=max(record.reached, death.step), fruitless=fruitless)
        if death.would_repeat or fruitless > self.max_restarts or self.max_restarts == 0:
            return record, None
        delay = self.first_delay * 2.0 ** max(fruitless - 1, 0)
        return record, min(delay, self.longest_delay)
