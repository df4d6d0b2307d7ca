"""Where the ranks of a run find each other, and which of them is the first."""

import os
from dataclasses import dataclass

import msgspec
from torch._C._distributed_c10d import FileStore, Store
from torch.distributed.rendezvous import rendezvous

from rheostat.trainer.distributed.environment import (
    LEADS_VARIABLE,
    RANK_VARIABLE,
    STORE_VARIABLE,
    WORLD_SIZE_VARIABLE,
)

_FIRST, _WORK = "first", "work"


class Work(msgspec.Struct):
    """What rank 0 lets the others know before anything else."""

    run: str
    spec: str
    """As JSON."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """One rank at the place where all meet."""

    store: Store
    rank: int
    world_size: int

    def announce(self, work: Work) -> None:
        """Tell the others what is to be done."""
        self.store.set(_WORK, msgspec.json.encode(work).decode())

    def work(self) -> Work:
        """Wait until rank 0 has announced it."""
        return msgspec.json.decode(self.store.get(_WORK), type=Work)


def meet() -> Meeting:
    """Go where the launcher says.

    It numbers machines as it happens. The ranks are counted on from the one that leads, round to
    those before it.
    """
    rank, world_size = int(os.environ[RANK_VARIABLE]), int(os.environ[WORLD_SIZE_VARIABLE])
    if STORE_VARIABLE in os.environ:
        return Meeting(FileStore(os.environ[STORE_VARIABLE], world_size), rank, world_size)
    store, rank, world_size = next(rendezvous("env://"))
    if LEADS_VARIABLE in os.environ and os.environ["LOCAL_RANK"] == "0":
        store.set(_FIRST, str(rank))
    first = int(store.get(_FIRST))
    return Meeting(store, (rank - first) % world_size, world_size)
