"""The processes of a run, as one of them reaches the others."""

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import PrefixStore, Store

from rheostat.runs.records import Failure
from rheostat.trainer.distributed.words import Word, decode, encode, length

WORD_SECONDS = 1800.0
"""Longest that ranks wait for each other's words; a paused rank 0 says one each second."""
_FAILURE = "failure"
_BROKEN = re.compile(
    r"connection (was )?(closed|reset|refused)|broken pipe|timed out|heartbeat|peer|aborted", re.I
)


class Gang:
    """One rank's end of everything that ranks exchange.

    Words, losses and objects go from host to host by gloo, in a group of their own: so nothing that
    is waited for between two steps is ever queued on a GPU, and no watchdog of NCCL sees it.

    Args:
        store: where the ranks find each other.
        rank: of this process.
        world_size: number of processes.
        device: where this one trains, `cpu` or `cuda`.
    """

    def __init__(
        self,
        store: Store,
        rank: int,
        world_size: int,
        device: torch.device,
    ) -> None:
        self.rank = rank
        self.world_size = world_size
        self.device = device
        self._store = PrefixStore("rheostat", store)
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            store=PrefixStore("torch", store),
            rank=rank,
            world_size=world_size,
        )
        self._hosts = self.open_group()
        self._said: dist.Work | None = None

    def open_group(self) -> dist.ProcessGroup:
        """Return another way from host to host, on which nothing waits for what goes on elsewhere;
        all ranks must ask at the same time.
        """
        group = dist.new_group(backend="gloo", timeout=timedelta(seconds=WORD_SECONDS))
        assert isinstance(group, dist.ProcessGroup)
        return group

    def say(self, word: Word) -> None:
        """Send a word to all, without waiting for anybody to hear it; rank 0 alone does."""
        if self._said is not None:
            self._said.wait()
        self._said = dist.broadcast(encode(word), 0, group=self._hosts, async_op=True)

    def hear(self, groups: int) -> Word:
        """Wait for the next word of a run with so many groups."""
        vector = torch.empty(length(groups), dtype=torch.float64)
        dist.broadcast(vector, 0, group=self._hosts)
        return decode(vector)

    def share(self, value: Any) -> Any:
        """Return rank 0's value on every rank; that of the others counts for nothing."""
        box = [value]
        dist.broadcast_object_list(box, 0, group=self._hosts)
        return box[0]

    def share_tensor(self, tensor: Tensor) -> None:
        """Fill a tensor on the host with rank 0's values."""
        dist.broadcast(tensor, 0, group=self._hosts)

    def share_on_device(self, tensor: Tensor) -> None:
        """Fill a tensor with rank 0's values, where it is."""
        dist.broadcast(tensor, 0)

    def collect(self, value: Any) -> list[Any]:
        """Return every rank's value at rank 0, in their order, and nothing elsewhere."""
        values = [None] * self.world_size if self.rank == 0 else None
        dist.gather_object(value, values, 0, group=self._hosts)
        return values or []

    def compare(self, number: int) -> Sequence[int]:
        """Return every rank's number, below 2 ** 63, on every rank."""
        numbers = [torch.empty(1, dtype=torch.int64) for _ in range(self.world_size)]
        dist.all_gather(numbers, torch.tensor([number]), group=self._hosts)
        return [int(one) for one in numbers]

    def add_up(self, tensor: Tensor) -> dist.Work:
        """Begin to add a tensor up over all ranks, in place; return what to wait for."""
        group = self._hosts if tensor.device.type == "cpu" else None
        work = dist.all_reduce(tensor, group=group, async_op=True)
        assert work is not None
        return work

    def leave_note(self, failure: Failure) -> None:
        """Let rank 0 know why this rank ends."""
        self._store.set(_FAILURE, msgspec.json.encode(failure).decode())

    def read_note(self) -> Failure | None:
        """Return why some rank has ended, None where none has told."""
        try:
            if not self._store.check([_FAILURE]):
                return None
            return msgspec.json.decode(self._store.get(_FAILURE), type=Failure)
        except (dist.DistError, RuntimeError):  # whoever kept it is gone
            return None

    def close(self) -> None:
        """Leave, in order."""
        if self._said is not None:
            self._said.wait()
        dist.destroy_process_group()


def is_loss_of_rank(error: BaseException) -> bool:
    """Whether an exception says that another rank is gone, as far as can be known.

    Gloo raises a plain RuntimeError; only its text tells.
    """
    if isinstance(error, dist.DistError):
        return True
    return isinstance(error, RuntimeError) and _BROKEN.search(str(error)) is not None
