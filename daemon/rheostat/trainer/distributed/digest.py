"""Whether all ranks used the same LRs in the same steps."""

import struct
import zlib
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from rheostat.trainer.distributed.gang import Gang

CHECK_EVERY = 64
"""Steps between two comparisons; each checkpoint makes one more."""

Used = tuple[int, tuple[float, ...]]
"""The index of a step's batch, and the LR of each group in that step."""


class RatesDiffer(Exception):
    """Some rank trained with other LRs than rank 0: its weights are not those of the run."""

    def __init__(
        self, rank: int, index: int, own: Sequence[float], others: Sequence[float]
    ) -> None:
        super().__init__(
            f"rank {rank} took the step of batch {index} with the LRs {list(others)}, and rank 0 "
            f"with {list(own)}: what has been trained since the newest checkpoint cannot be trusted"
        )


class Digest:
    """A running checksum of what stood in the optimizer as each step was taken.

    Args:
        optimizer: whose groups are in the order of the LRs.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.value = 0
        """Of all steps so far."""
        self.recent: deque[Used] = deque(maxlen=CHECK_EVERY)
        """The newest steps, which tell where two ranks went apart."""
        self.steps = 0
        """Number of steps since the last comparison."""
        self._optimizer = optimizer
        self._form = struct.Struct(f"<q{len(optimizer.param_groups)}d")

    def note(self, index: int, written: Sequence[float]) -> None:
        """Add a step.

        Args:
            index: of its batch.
            written: the LRs as they were written; they stand for those on a GPU, which are not
                read back.
        """
        # Asked anew each time: loading a state replaces the groups.
        used = tuple(map(_standing, self._optimizer.param_groups, written))
        self.value = zlib.crc32(self._form.pack(index, *used), self.value)
        self.recent.append((index, used))
        self.steps += 1

    def check(self, gang: Gang) -> None:
        """Compare with the other ranks, which do the same at the same word.

        Raises:
            RatesDiffer: on rank 0, if some rank has used other LRs.
        """
        self.steps = 0
        if len(set(gang.compare(self.value))) > 1:
            compare(gang.collect(self.told()))

    def told(self) -> tuple[int, list[Used]]:
        """Return what `compare` needs of this rank."""
        return self.value, list(self.recent)


def _standing(group: Mapping[str, Any], written: float) -> float:
    lr = group["lr"]
    if isinstance(lr, Tensor):
        return float(lr) if lr.device.type == "cpu" else written
    return float(lr)


def compare(digests: Sequence[tuple[int, Sequence[Used]]]) -> None:
    """Compare what all ranks have told, in their order; nothing where none have.

    Raises:
        RatesDiffer: if they are not the same; names the first step that is still known.
    """
    if not digests:
        return
    value, recent = digests[0]
    for rank, (other, others) in enumerate(digests):
        if other != value:
            for (index, own), (_, used) in zip(recent, others, strict=False):
                if own != used:
                    raise RatesDiffer(rank, index, own, used)
            raise RatesDiffer(rank, recent[-1][0] if recent else 0, (), ())
