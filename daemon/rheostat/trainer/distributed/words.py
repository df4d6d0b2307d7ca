"""What rank 0 says to the others at a boundary: one small vector, LRs and momenta included."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from rheostat.trainer.checkpoints.scribe import Errand


class Op(IntEnum):
    """What comes next."""

    STAND_BY = 0
    """Nothing yet: rank 0 lives, and stands still."""
    EQUIP = 1
    """Wrap the model, which takes all ranks."""
    STEP = 2
    TRIAL = 3
    """A step of a probe: an exception in it ends the trial, not the run."""
    VALIDATE = 4
    KEEP = 5
    """Keep the state, with these LRs written."""
    PUT_BACK = 6
    """Put back what was kept."""
    RESTORE = 7
    """Take the state of a checkpoint, which follows."""
    REMEMBER = 8
    """Give the memory of the random generators, for a checkpoint."""
    COLLECT = 9
    """Bring the parts of the whole state together at rank 0, for a checkpoint that it writes."""
    SHOW = 10
    """Bring those of the weights together, as they are looked at."""
    DISMISS = 11
    """There is nothing more to do."""
    MAKE_ROOM = 12
    """This and those that follow: an `Errand` with the parts of a checkpoint."""
    MAKE_ALL_ROOM = 13
    WRITE = 14
    KEEP_COPY = 15
    WRITE_KEPT = 16
    FORGET = 17


ERRANDS = {
    Op.MAKE_ROOM: Errand.MAKE_ROOM,
    Op.MAKE_ALL_ROOM: Errand.MAKE_ALL_ROOM,
    Op.WRITE: Errand.WRITE,
    Op.KEEP_COPY: Errand.KEEP,
    Op.WRITE_KEPT: Errand.WRITE_KEPT,
    Op.FORGET: Errand.FORGET,
}
"""What is to be done with a rank's own part of the state."""
OP_OF = {errand: op for op, errand in ERRANDS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One boundary's word."""

    op: Op
    learning_rates: Sequence[float]
    """One per group, in order."""
    momenta: Sequence[float | None]
    """The same; None is the group's own."""
    index: int = 0
    """Of the batch of a step; of an errand, the number of finished steps."""
    measures_norm: bool = False
    """Whether the step measures the gradient norm."""
    checks: bool = False
    """Whether the LRs used until here are compared before it."""


_HEADER = 3


def length(groups: int) -> int:
    """Return the number of values in a word of a run with so many groups."""
    return _HEADER + 2 * groups


def encode(word: Word) -> Tensor:
    """Return a word as (3 + 2 * groups,) float64, which holds steps and LRs exactly."""
    flags = word.measures_norm + 2 * word.checks
    momenta = (math.nan if one is None else one for one in word.momenta)
    values = [word.op, word.index, flags, *word.learning_rates, *momenta]
    return torch.tensor(values, dtype=torch.float64)


def decode(vector: Tensor) -> Word:
    """Return the word that `encode` was given."""
    op, index, flags, *values = vector.tolist()
    groups = len(values) // 2
    return Word(
        op=Op(int(op)),
        index=int(index),
        measures_norm=bool(int(flags) & 1),
        checks=bool(int(flags) & 2),
        learning_rates=values[:groups],
        momenta=[None if math.isnan(one) else one for one in values[groups:]],
    )
