"""Who decides when several processes train one run: rank 0, and the others follow."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from rheostat.trainer.building import Parts
from rheostat.trainer.checkpoints.reading import Forms
from rheostat.trainer.checkpoints.scribe import Errand
from rheostat.trainer.checkpoints.state import State
from rheostat.trainer.parallel import SINGLE, Parallel
from rheostat.trainer.snapshot import Snapshot
from rheostat.trainer.tallying import validate
from rheostat.trainer.weights import save_weights


class Restorable(Protocol):
    """A state that can be put back."""

    def restore(self) -> None:
        """Put everything back, bit for bit."""
        ...


class Ranks(Protocol):
    """The processes of a run as rank 0 leads them, at its step boundaries.

    Everything here is called between two steps. The other ranks wait there for what comes next, so
    no collective of theirs is under way while rank 0 stands still.
    """

    parallel: Parallel
    """How they work on the model."""
    warnings: tuple[str, ...]
    """What whoever looks after the run should know of them."""
    forms: Forms | None
    """What each reads and writes a part of by itself; None where rank 0 has it all."""
    group: dist.ProcessGroup | None
    """How they agree on a checkpoint of which each writes its own part; None where rank 0 writes
    it all. Nothing else is exchanged there, so a thread may do it."""

    def begin_step(
        self,
        parts: Parts,
        index: int,
        learning_rates: Sequence[float],
        measure_norm: bool,
        is_trial: bool = False,
    ) -> None:
        """Have every rank take the step that rank 0 is about to take.

        Args:
            parts: of the run.
            index: of the step's batch.
            learning_rates: one per group, in order; they stand in rank 0's optimizer already.
            measure_norm: whether the gradient norm is measured.
            is_trial: whether the step is part of a probe.
        """
        ...

    def stand_by(self) -> None:
        """Let the others know that rank 0 lives, where it has them wait."""
        ...

    def validate(
        self, parts: Parts, see: Callable[[Tensor], None] | None = None
    ) -> tuple[float, float | None]:
        """Return mean loss and accuracy over the validation set, as `validate` does."""
        ...

    def snapshot(self, parts: Parts) -> Restorable:
        """Keep what steps change, on every rank; see `Snapshot`."""
        ...

    def spread(self, state: State, anew: Collection[str] = ()) -> None:
        """Bring the other ranks to the state that rank 0 has been restored to; see `restore`."""
        ...

    def whole(self, state: State) -> State:
        """Return a state of this rank with the parts of the others, if they write none."""
        ...

    def join_in(self, errand: Errand, step: int) -> None:
        """Have the others do with their parts what this rank is about to do with its own.

        Args:
            errand: what.
            step: number of finished steps of the state.
        """
        ...

    def save_weights(self, parts: Parts, folder: Path) -> Path:
        """Write the weights of a model that is ready to be looked at; see `save_weights`."""
        ...

    def generators(self, device: torch.device) -> list[Any]:
        """Return the memory of the random generators of every other rank, in their order."""
        ...

    def dismiss(self) -> None:
        """End the others' work, in order."""
        ...


class Alone:
    """One process: it is rank 0 and there are no others."""

    parallel: Parallel = SINGLE
    warnings: tuple[str, ...] = ()
    forms: Forms | None = None
    group: dist.ProcessGroup | None = None

    def begin_step(
        self,
        parts: Parts,
        index: int,
        learning_rates: Sequence[float],
        measure_norm: bool,
        is_trial: bool = False,
    ) -> None:
        """Tell nobody."""

    def stand_by(self) -> None:
        """Let nobody know."""

    def validate(
        self, parts: Parts, see: Callable[[Tensor], None] | None = None
    ) -> tuple[float, float | None]:
        """Look at every batch."""
        return validate(parts.model, parts.loss, parts.validation, see)

    def snapshot(self, parts: Parts) -> Snapshot:
        """Keep it here."""
        return Snapshot(parts)

    def spread(self, state: State, anew: Collection[str] = ()) -> None:
        """Bring nobody there."""

    def whole(self, state: State) -> State:
        """Return the state."""
        return state

    def join_in(self, errand: Errand, step: int) -> None:
        """Ask nobody."""

    def save_weights(self, parts: Parts, folder: Path) -> Path:
        """Write them."""
        return save_weights(parts.model, folder)

    def generators(self, device: torch.device) -> list[Any]:
        """Return those of nobody."""
        return []

    def dismiss(self) -> None:
        """End nothing."""
