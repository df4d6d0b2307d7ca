"""A run that is trained window by window, by whoever holds it: the real trainer, without a daemon.

`Loop`, `Steering` and all the parts are those of any other run; only nobody listens.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Literal

from rheostat.learning.seat import Seat
from rheostat.spec.models import DataSpec, EvaluateSpec, Spec
from rheostat.trainer.building import build
from rheostat.trainer.data import Data, load_data
from rheostat.trainer.data.resident import ready_for_many
from rheostat.trainer.generators import Generators
from rheostat.trainer.learning import NonFiniteLoss
from rheostat.trainer.loop import Loop
from rheostat.trainer.modes import train_mode
from rheostat.trainer.peers import Nobody
from rheostat.trainer.ranks import Alone
from rheostat_policies import Observation, RunInfo


class Child:
    """One run under an agent, from its first window to its last.

    Args:
        spec: of the run; what it says of validation counts for nothing.
        every: steps of a window.
        validates: whether after every window, or once at its end.
        observes: fields of an `Observation` to measure.
        divergence_ratio: train loss, as a multiple of the first step's, that ends it.

    Raises:
        InvalidSpec: if the spec cannot be run.
    """

    def __init__(
        self,
        spec: Spec,
        *,
        every: int,
        validates: Literal["windows", "end"] = "windows",
        observes: tuple[str, ...] = (),
        divergence_ratio: float = math.inf,
    ) -> None:
        self.has_diverged = False
        """Whether the loss is beyond hope; nothing is trained any more."""
        self.validation_loss = math.nan
        """The newest; before there is a finite one, the loss of the untrained model."""
        self._every = every
        self._observes = observes
        self._hopeless = divergence_ratio
        self._generators = Generators()
        with self._generators:
            parts = build(spec, spec.name, data=read_data(spec.data), join=self._join)
            self._steering = parts.steering
            evaluate = EvaluateSpec(every=every if validates == "windows" else parts.steps)
            validated = parts.spec.model_copy(update={"evaluate": evaluate})
            self._loop = Loop(replace(parts, spec=validated), Nobody(), Alone())
            train_mode(parts.model, parts.optimizer)

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to train."""
        return self.has_diverged or self._loop.step >= self._steering.steps

    @property
    def windows_left(self) -> int:
        """Number of windows still to be trained."""
        return -(-(self._steering.steps - self._loop.step) // self._every)

    def begin(self) -> None:
        """Train the first window, in which nobody has seen anything yet: all factors are 1.

        Raises:
            NonFiniteLoss: if the very first loss is none, which is nobody's doing.
        """
        with self._generators:
            self._loop.advance(1)
        self.validation_loss = self.observation().train_loss
        self._hopeless *= self.validation_loss
        self._train(self._every - 1)

    def advance(self, factors: Mapping[str, float]) -> None:
        """Train one more window, with these factors by group from its first step on."""
        self.seat.wish(factors)
        self._train(self._every)

    def observation(self) -> Observation:
        """Return what a policy sees after the last finished step; there must be one."""
        steering, measured = self._steering, self._loop.measurement()
        assert measured is not None, "somebody looked before the first window"
        used = dict(zip(self.seat.groups, steering.learning_rates, strict=True))
        base = dict(zip(self.seat.groups, steering.bases, strict=True))
        return self.seat.observation(measured, used, base, self._loop.extras())

    def _train(self, steps: int) -> None:
        try:
            with self._generators:
                self._loop.advance(steps)
        except NonFiniteLoss:
            self.has_diverged = True
            return
        seen = self.observation()
        loss = seen.validation_loss
        if loss is not None and not math.isfinite(loss):
            self.has_diverged = True
        else:
            self.validation_loss = self.validation_loss if loss is None else loss
            # Where a loss may be negative, a multiple of the first says nothing.
            self.has_diverged = seen.train_loss > self._hopeless > 0

    def _join(self, run: RunInfo) -> Seat:
        self.seat = Seat(run, self._every, self._observes)
        return self.seat


def read_data(spec: DataSpec) -> Data:
    """Return a data set, read and converted once in a process: no episode changes it."""
    return _read_once(spec.model_copy(update={"batch_size": 1}).model_dump_json())


@cache
def _read_once(document: str) -> Data:
    return ready_for_many(load_data(DataSpec.model_validate_json(document)))
