"""What becomes of a copy of a run's state: a checkpoint in its folder, and news of it."""

import time
from dataclasses import dataclass
from pathlib import Path

from rheostat.runs.checkpoints import CheckpointInfo, prune
from rheostat.runs.messages import Message, SaveCommand, Saved, SaveFailed
from rheostat.spec.models import CheckpointSpec
from rheostat.trainer.checkpoints.state import State
from rheostat.trainer.checkpoints.writing import write_state
from rheostat.trainer.ranks import Ranks


@dataclass(frozen=True, slots=True)
class Order:
    """Why a checkpoint is to be taken."""

    reason: str
    command: SaveCommand | None = None
    """Who asked; None where it was due."""

    @property
    def command_id(self) -> int | None:
        """Of who asked."""
        return None if self.command is None else self.command.command_id


class Publisher:
    """Writes a run's checkpoints, removes those that need not be kept, and tells of both.

    Args:
        folder: of the run's checkpoints.
        run: whose they are.
        spec: how many are kept.
        spec_sha256: of the run's spec.
        ranks: the processes that train the run, each of which may write a part.
    """

    def __init__(
        self, folder: Path, run: str, spec: CheckpointSpec, spec_sha256: str, ranks: Ranks
    ) -> None:
        self._folder = folder
        self._run = run
        self._spec = spec
        self._spec_sha256 = spec_sha256
        self._ranks = ranks
        self._news: list[Message] = []

    def take_news(self) -> list[Message]:
        """Return what became of checkpoints since the last time."""
        if not self._news:
            return []
        taken, self._news = self._news, []
        return taken

    def publish(self, order: Order, state: State, began: float, stalled: float) -> None:
        """Write a checkpoint of a copy, and tell of it or of why there is none.

        Args:
            order: why it is taken.
            state: the copy.
            began: when it was begun, by `time.perf_counter`.
            stalled: seconds that the loop has waited.
        """
        try:
            pinned = order.command is not None and order.command.pin
            info = self._write(state, order.reason, pinned=pinned)
            keep, keep_best = self._spec.keep, self._spec.keep_best
            prune(self._folder, keep=keep, keep_best=keep_best, written=state.step)
        except Exception as error:
            self.fail(order, state.step, error)
            return
        seconds = time.perf_counter() - began
        self._news.append(
            Saved(info=info, seconds=seconds, stalled=stalled, command_id=order.command_id)
        )

    def publish_snapshot(self, state: State) -> Path | None:
        """Make a checkpoint of a snapshot, and return where it is; None, and tell, if that fails.

        Nothing is pruned: which checkpoints the run can do without is seen when it has gone back.
        """
        began = time.perf_counter()
        try:
            info = self._write(state, "rollback")
        except Exception as error:
            self.fail(Order("rollback"), state.step, error)
            return None
        seconds = time.perf_counter() - began
        self._news.append(Saved(info=info, seconds=seconds, stalled=seconds))
        return Path(info.path)

    def fail(self, order: Order, step: int, error: Exception) -> None:
        """Tell why there is no checkpoint."""
        self._news.append(SaveFailed(message=str(error), step=step, command_id=order.command_id))

    def _write(self, state: State, reason: str, *, pinned: bool = False) -> CheckpointInfo:
        return write_state(
            self._folder,
            state,
            run=self._run,
            spec_sha256=self._spec_sha256,
            reason=reason,
            pinned=pinned,
            group=self._ranks.group,
        )
