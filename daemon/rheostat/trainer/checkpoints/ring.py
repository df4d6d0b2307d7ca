"""The newest states of a run in memory: checkpoints that are not written yet."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from rheostat.runs.checkpoints import CheckpointInfo
from rheostat.spec.models import SnapshotsSpec
from rheostat.trainer.checkpoints.state import HostCopies, State, Tensors

REASON = "every"


@dataclass(frozen=True, slots=True)
class _Snapshot:
    info: CheckpointInfo
    state: State
    room: HostCopies


class Ring:
    """Keeps copies of a run's newest states, a fixed number of them.

    The memory for all of them can be taken at once, by another thread, before the first is due; a
    snapshot then costs the loop what copying costs.

    Args:
        spec: when they are due, and how many are kept.
        clock: seconds since the epoch.
    """

    def __init__(self, spec: SnapshotsSpec, clock: Callable[[], float] = time.time) -> None:
        self._spec = spec
        self._clock = clock
        self._kept: deque[_Snapshot] = deque()
        self._free = [HostCopies() for _ in range(spec.keep)]
        self._is_untouched = threading.Event()
        self._is_untouched.set()
        self.infos: tuple[CheckpointInfo, ...] = ()
        """Of those that are kept, oldest first."""

    def room_maker(self, tensors: Tensors) -> Callable[[], None]:
        """Return what takes the memory for tensors of these shapes and types; `take` waits for it.

        It is to be called once, before anything is taken.
        """
        rooms = tuple(self._free)
        self._is_untouched.clear()

        def make() -> None:
            try:
                for room in rooms:
                    room.make_room(tensors)
            finally:
                self._is_untouched.set()

        return make

    def is_due(self, step: int) -> bool:
        """Whether the state after so many finished steps is to be kept."""
        return step % self._spec.every == 0

    def take(self, live: State) -> None:
        """Keep a copy of a state, in the place of the oldest where there are enough."""
        self._is_untouched.wait()
        room = self._free.pop() if self._free else self._kept.popleft().room
        state = room.take(live)
        info = CheckpointInfo(
            step=state.step,
            revision=state.revision,
            created_at=self._clock(),
            reason=REASON,
            validation_loss=state.validation_loss,
            bytes=sum(one.nbytes for part in live.tensors.values() for one in part.values()),
            path="",
            in_memory=True,
        )
        self._kept.append(_Snapshot(info, state, room))
        self._tell()

    def state(self, step: int) -> State:
        """Return what is kept of the state after so many steps; it stays until the next `take`."""
        return next(one.state for one in self._kept if one.info.step == step)

    def forget(self, step: int) -> None:
        """Forget the states of more finished steps, which a rollback has undone."""
        self._free += [one.room for one in self._kept if one.info.step > step]
        self._kept = deque(one for one in self._kept if one.info.step <= step)
        self._tell()

    def _tell(self) -> None:
        self.infos = tuple(one.info for one in self._kept)
