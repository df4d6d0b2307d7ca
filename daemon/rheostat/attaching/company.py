"""The processes of a script that torch's own launcher has started: rank 0 decides for all."""

from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

_PAUSE_LIMIT = timedelta(days=30)
"""The others wait in a broadcast while rank 0 stands still."""


class Company:
    """All ranks of a script, seen from one of them; every method is called by every rank.

    LRs travel on the host, in a process group of their own, whatever the gradients travel on.
    """

    def __init__(self, count: int) -> None:
        self.rank = dist.get_rank()
        self._group: Any = dist.new_group(backend="gloo", timeout=_PAUSE_LIMIT)
        self._numbers = torch.zeros(count + 1, dtype=torch.float64)

    def share(self, learning_rates: list[float] | None, flags: int) -> tuple[list[float], int]:
        """Return rank 0's LRs, one per group, and its flags.

        Args:
            learning_rates: those of rank 0; None elsewhere.
            flags: what all ranks are to know beside.
        """
        if learning_rates is not None:
            numbers = [*learning_rates, float(flags)]
            self._numbers.copy_(torch.tensor(numbers, dtype=torch.float64))
        dist.broadcast(self._numbers, src=0, group=self._group)
        *shared, told = self._numbers.tolist()
        return shared, int(told)

    def hear(self, said: Any) -> Any:
        """Return what rank 0 says; what the others say is nothing."""
        heard = [said]
        dist.broadcast_object_list(heard, src=0, group=self._group)
        return heard[0]

    def gather(self, said: Any) -> list[Any]:
        """Return what every rank says, in their order."""
        heard = [None] * dist.get_world_size(self._group)
        dist.all_gather_object(heard, said, group=self._group)
        return heard


def company_of(count: int) -> Company | None:
    """Return the ranks of this script; None where it is the only process.

    Args:
        count: number of param groups.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return None
    return Company(count)
