"""The order in which an epoch visits the training samples."""

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from rheostat.errors import InvalidSpec, Violation


@dataclass(frozen=True, slots=True)
class Share:
    """The part of every batch that one process has."""

    rank: int
    """Of the process, from 0."""
    world_size: int
    """Number of processes, >= 1."""

    def of(self, samples: int) -> slice:
        """Return where its part of some samples is; the parts differ by one sample at most."""
        first, last = (samples * one // self.world_size for one in (self.rank, self.rank + 1))
        return slice(first, last)


WHOLE = Share(0, 1)


class Order:
    """Which samples make up the batch of a step: a pure function of the seed and the step.

    Every epoch is a permutation of the training set, cut into full batches; the samples that are
    left over at its end are others in every epoch.
    """

    def __init__(self, samples: int, batch_size: int, seed: int) -> None:
        """Prepare to deal out `samples` samples in batches of `batch_size`.

        Raises:
            InvalidSpec: there are fewer samples than one batch takes.
        """
        if batch_size > samples:
            expected = f"at most {samples}, the number of training samples"
            raise InvalidSpec([Violation("data.batch_size", str(batch_size), expected)])
        self.steps_per_epoch = samples // batch_size
        self._samples = samples
        self._batch_size = batch_size
        self._seed = seed

    def epoch(self, epoch: int) -> Tensor:
        """Return the (steps_per_epoch * batch_size,) int64 sample indices of one epoch."""
        generator = torch.Generator().manual_seed(derive_seed(self._seed, epoch))
        permutation = torch.randperm(self._samples, generator=generator)
        return permutation[: self.steps_per_epoch * self._batch_size]


def derive_seed(*numbers: int) -> int:
    """Return a 64-bit seed that belongs to these numbers alone.

    Torch's CPU generator looks at the lower 32 bits only, so the numbers are hashed, not added.
    """
    digest = hashlib.blake2b(repr(numbers).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")
