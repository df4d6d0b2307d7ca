"""Copies of a process's state: taken while its loop stands still, kept or written beside it."""

from collections.abc import Callable
from enum import Enum, auto

from rheostat.runs.checkpoints import CheckpointInfo
from rheostat.spec.models import SnapshotsSpec
from rheostat.trainer.checkpoints.ring import Ring
from rheostat.trainer.checkpoints.state import HostCopies, State
from rheostat.trainer.checkpoints.worker import Worker


class Errand(Enum):
    """What each process does with its own part of a state when the first one does it."""

    MAKE_ROOM = auto()
    """For a copy."""
    MAKE_ALL_ROOM = auto()
    """For snapshots too."""
    WRITE = auto()
    """A checkpoint."""
    KEEP = auto()
    """A snapshot."""
    WRITE_KEPT = auto()
    """A checkpoint of a snapshot."""
    FORGET = auto()
    """The snapshots of later steps."""


class Scribe:
    """Copies what one process has of a run, and has it written while the run goes on.

    Args:
        snapshots: when they are due, and how many are kept; None is to keep none.
    """

    def __init__(self, snapshots: SnapshotsSpec | None) -> None:
        self._copies = HostCopies()
        self._worker = Worker("checkpoint")
        self._ring = None if snapshots is None else Ring(snapshots)

    @property
    def is_busy(self) -> bool:
        """Whether something is being written, or room made."""
        return self._worker.is_busy

    @property
    def keeps(self) -> bool:
        """Whether there are snapshots, now or later."""
        return self._ring is not None

    @property
    def kept(self) -> tuple[CheckpointInfo, ...]:
        """The snapshots that there are, oldest first."""
        return () if self._ring is None else self._ring.infos

    def wait(self) -> None:
        """Wait until nothing is being written."""
        self._worker.wait()

    def fits(self, live: State) -> bool:
        """Whether there is room for a copy of a state."""
        return self._copies.fits(live.tensors)

    def make_room(self, live: State, *, for_all: bool = False) -> None:
        """Begin to take the memory for a copy, or for all copies that there will be."""
        self.wait()
        makes = self._ring.room_maker(live.tensors) if self._ring and for_all else None

        def make() -> None:
            if makes is not None:
                makes()
            self._copies.make_room(live.tensors)

        self._worker.start(make)

    def copy(self, live: State) -> State:
        """Return a copy of a state; it stays until the next is taken."""
        self.wait()
        return self._copies.take(live)

    def start(self, work: Callable[[], None]) -> None:
        """Have something done with a copy, while the run goes on."""
        self._worker.start(work)

    def is_due(self, step: int) -> bool:
        """Whether a snapshot after so many finished steps is to be kept."""
        return self._ring is not None and self._ring.is_due(step)

    def keep(self, live: State) -> None:
        """Keep a snapshot of a state."""
        assert self._ring is not None
        self._ring.take(live)

    def take_kept(self, step: int) -> State:
        """Return the snapshot after so many finished steps; it stays until the next is kept."""
        assert self._ring is not None
        return self._ring.state(step)

    def forget(self, step: int) -> None:
        """Forget the snapshots of more finished steps, which a rollback has undone."""
        if self._ring is not None:
            self._ring.forget(step)
