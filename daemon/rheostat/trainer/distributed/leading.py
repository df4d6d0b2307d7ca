"""Rank 0's side: what its loop does, the others are told to do."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from rheostat.trainer.building import Parts
from rheostat.trainer.checkpoints.forms import forms_of
from rheostat.trainer.checkpoints.gathering import model_tensors
from rheostat.trainer.checkpoints.reading import Forms
from rheostat.trainer.checkpoints.scribe import Errand
from rheostat.trainer.checkpoints.state import State
from rheostat.trainer.distributed.digest import CHECK_EVERY, Digest, compare
from rheostat.trainer.distributed.folders import offer_folder
from rheostat.trainer.distributed.gang import Gang
from rheostat.trainer.distributed.replicas import Replicas
from rheostat.trainer.distributed.shards import Shards
from rheostat.trainer.distributed.spreading import send
from rheostat.trainer.distributed.validating import validate_together
from rheostat.trainer.distributed.words import OP_OF, Op, Word
from rheostat.trainer.parallel import Parallel
from rheostat.trainer.sharding import whole_of
from rheostat.trainer.snapshot import Snapshot
from rheostat.trainer.tallying import validate
from rheostat.trainer.weights import save_tensors, save_weights


class Leading:
    """The ranks of a run, led by this one; see `Ranks`.

    Args:
        gang: how they are reached.
        parts: of the run, as rank 0 has built them.
        parallel: how they work on the model.
        folder: of the run's checkpoints.
    """

    def __init__(self, gang: Gang, parts: Parts, parallel: Replicas | Shards, folder: Path) -> None:
        wanted = parts.spec.train.nodes * parts.spec.train.processes
        self.warnings: tuple[str, ...] = ()
        if gang.world_size < wanted:
            missing = f"the run goes on with {gang.world_size} of {wanted} processes"
            self.warnings = (f"{missing}: machines are missing",)
        self._gang = gang
        self._parts = parts
        self._digest = Digest(parts.optimizer)
        self.forms: Forms | None = None
        self.group: dist.ProcessGroup | None = None
        if parallel.is_sharded and offer_folder(gang, folder):
            self.forms, self.group = forms_of(parts), gang.open_group()
        self.parallel: Parallel = parallel
        parallel.announce = lambda: self._say(Op.EQUIP)

    def begin_step(
        self,
        parts: Parts,
        index: int,
        learning_rates: Sequence[float],
        measure_norm: bool,
        is_trial: bool = False,
    ) -> None:
        """Say how the next step is taken; now and then, see whether all do as is said."""
        checks = self._digest.steps >= CHECK_EVERY
        op = Op.TRIAL if is_trial else Op.STEP
        self._say(
            op,
            learning_rates=learning_rates,
            index=index,
            measures_norm=measure_norm,
            checks=checks,
        )
        if checks:
            self._digest.check(self._gang)
        self._digest.note(index, learning_rates)

    def stand_by(self) -> None:
        """Say that there is nothing to do yet."""
        self._say(Op.STAND_BY)

    def validate(
        self, parts: Parts, see: Callable[[Tensor], None] | None = None
    ) -> tuple[float, float | None]:
        """Look at the validation set together, or alone where somebody wants to see it whole."""
        if self.parallel.is_sharded:
            # Nobody can look at anything alone.
            self._say(Op.VALIDATE)
        elif see is None:
            self._say(Op.VALIDATE)
            return validate_together(self._gang, parts)
        return validate(parts.model, parts.loss, parts.validation, see)

    def snapshot(self, parts: Parts) -> "_Kept":
        """Keep everything on every rank; one is kept at a time."""
        self._say(Op.KEEP)
        return _Kept(Snapshot(parts), lambda: self._say(Op.PUT_BACK))

    def spread(self, state: State, anew: Collection[str] = ()) -> None:
        """Send the state to all, or where to read it, where all see the files."""
        self._say(Op.RESTORE)
        send(self._gang, state, anew, from_disk=self.forms is not None)

    def generators(self, device: torch.device) -> list[Any]:
        """Ask for those of the others, and see whether all have used the same LRs.

        Raises:
            RatesDiffer: if they have not: there is nothing to take a checkpoint of.
        """
        self._say(Op.REMEMBER)
        told = self._gang.collect((self._digest.told(), None))
        compare([digest for digest, _ in told])
        self._digest.steps = 0
        return [memory for _, memory in told[1:]]

    def whole(self, state: State) -> State:
        """Bring the parts of all together on this host, where not each rank writes its own."""
        if not self.parallel.is_sharded or self.group is not None:
            return state
        self._say(Op.COLLECT)
        tensors = {
            part: {name: whole_of(one).cpu() for name, one in named.items()}
            for part, named in state.tensors.items()
        }
        return replace(state, tensors=tensors)

    def join_in(self, errand: Errand, step: int) -> None:
        """Tell the ranks that write their own parts."""
        if self.group is not None:
            self._say(OP_OF[errand], index=step)

    def save_weights(self, parts: Parts, folder: Path) -> Path:
        """Write them, brought together where they are parts."""
        if not self.parallel.is_sharded:
            return save_weights(parts.model, folder)
        self._say(Op.SHOW)
        names = parts.model.state_dict().keys()
        own = model_tensors(parts.model).items()
        whole = {name: whole_of(one).cpu() for name, one in own}
        return save_tensors({name: one for name, one in whole.items() if name in names}, folder)

    def dismiss(self) -> None:
        """Say that all is done."""
        self._say(Op.DISMISS)

    def _say(self, op: Op, learning_rates: Sequence[float] | None = None, **fields: Any) -> None:
        steering = self._parts.steering
        moved = steering.moves_momentum
        momenta = [group.momentum if moved else None for group in steering.groups]
        rates = steering.learning_rates if learning_rates is None else learning_rates
        self._gang.say(Word(op=op, learning_rates=rates, momenta=momenta, **fields))


class _Kept:
    """What is kept on every rank."""

    def __init__(self, own: Snapshot, tell: Callable[[], None]) -> None:
        self._own = own
        self._tell = tell

    def restore(self) -> None:
        """Put everything back, everywhere."""
        self._tell()
        self._own.restore()
