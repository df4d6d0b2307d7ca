"""A follower's part of checkpoints and snapshots."""

import sys
from functools import partial
from pathlib import Path

import torch.distributed as dist

from rheostat.trainer.building import Parts
from rheostat.trainer.checkpoints.gathering import gather_parts
from rheostat.trainer.checkpoints.scribe import Errand, Scribe
from rheostat.trainer.checkpoints.state import State


class PartKeeper:
    """Does with this rank's part of the state what rank 0 does with its own.

    Args:
        parts: of the run, as this rank has built them.
        folder: of the run's checkpoints.
        group: how the ranks agree on a checkpoint.
    """

    def __init__(self, parts: Parts, folder: Path, group: dist.ProcessGroup) -> None:
        self._parts = parts
        self._folder = folder
        self._group = group
        self._scribe = Scribe(parts.spec.checkpoint.snapshots)

    def do(self, errand: Errand, step: int) -> None:
        """Do as rank 0 does.

        Args:
            errand: what.
            step: number of finished steps of the state.
        """
        scribe = self._scribe
        match errand:
            case Errand.MAKE_ROOM | Errand.MAKE_ALL_ROOM:
                live = gather_parts(self._parts, step)
                scribe.make_room(live, for_all=errand is Errand.MAKE_ALL_ROOM)
            case Errand.WRITE:
                copy = scribe.copy(gather_parts(self._parts, step))
                scribe.start(partial(self._write, copy))
            case Errand.KEEP:
                scribe.keep(gather_parts(self._parts, step))
            case Errand.WRITE_KEPT:
                scribe.wait()
                self._write(scribe.take_kept(step))
            case Errand.FORGET:
                scribe.forget(step)

    def finish(self) -> None:
        """Wait until nothing is being written."""
        self._scribe.wait()

    def _write(self, state: State) -> None:
        # Takes a while to import, for what few runs need.
        from rheostat.trainer.checkpoints.together import write_other_part

        try:
            write_other_part(self._folder, state, self._group)
        except Exception as error:
            # Rank 0 knows it too, and tells the daemon; if a rank is gone, the next word fails.
            rank = self._group.rank()
            print(f"rank {rank}: no checkpoint of step {state.step}: {error}", file=sys.stderr)
