"""Which checkpoints are taken, what became of them, and which one the run can go back to."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from rheostat.errors import FailedPrecondition
from rheostat.runs.checkpoints import (
    BadCheckpoint,
    CheckpointInfo,
    eligible,
    list_checkpoints,
    set_aside,
)
from rheostat.runs.messages import Message, SaveCommand
from rheostat.spec.models import CheckpointSpec
from rheostat.trainer.checkpoints.drafts import sweep
from rheostat.trainer.checkpoints.due import Due
from rheostat.trainer.checkpoints.publishing import Order, Publisher
from rheostat.trainer.checkpoints.reading import read_state
from rheostat.trainer.checkpoints.scribe import Errand, Scribe
from rheostat.trainer.checkpoints.state import State
from rheostat.trainer.progress import Progress
from rheostat.trainer.ranks import Alone, Ranks

Gather = Callable[[], State]


class Saver:
    """Takes a run's checkpoints: the loop stands still for the copy alone.

    One is written at a time. What falls due meanwhile waits, and is then taken of the step that the
    run has come to. Snapshots are taken beside them, and written only where the run goes back to
    one.

    Args:
        folder: of the run's checkpoints.
        run: whose they are.
        spec: when they are due, and how many are kept.
        spec_sha256: of the run's spec.
        step: number of finished steps that the run has gone on from; there is a checkpoint of it.
        ranks: the processes that train the run, each of which may have a part of its state.
    """

    def __init__(
        self,
        folder: Path,
        run: str,
        spec: CheckpointSpec,
        spec_sha256: str,
        step: int = 0,
        ranks: Ranks | None = None,
    ) -> None:
        self.folder = folder
        self._spec_sha256 = spec_sha256
        self._ranks: Ranks = Alone() if ranks is None else ranks
        self._scribe = Scribe(spec.snapshots)
        self._publisher = Publisher(folder, run, spec, spec_sha256, self._ranks)
        self._asked: list[SaveCommand] = []
        self._owed: str | None = None
        self._has_room = False
        self._hopeless: str = ""
        sweep(folder)
        self._due = Due(spec, folder, step)

    @property
    def is_busy(self) -> bool:
        """Whether a checkpoint is being written."""
        return self._scribe.is_busy

    @property
    def in_memory(self) -> tuple[CheckpointInfo, ...]:
        """The snapshots that the run can go back to, oldest first."""
        return self._scribe.kept

    def ask(self, command: SaveCommand) -> None:
        """Have a checkpoint taken as soon as none is being written."""
        self._asked.append(command)

    def owe(self, reason: str) -> None:
        """Have a checkpoint taken at this boundary or the next at which none is being written."""
        self._owed = reason

    def look(self, progress: Progress, gather: Gather) -> None:
        """Take a checkpoint if one is due or asked for; called once at each settled boundary.

        Args:
            progress: of the run.
            gather: returns the run's state.
        """
        if self._due.is_new(progress.step):
            if not self._has_room:
                self._make_room(progress, gather)
            self._owed = self._owed or self._due.why(progress)
            if self._scribe.is_due(progress.step):
                self._keep_snapshot(progress, gather)
        if (self._owed is None and not self._asked) or self.is_busy:
            return
        order = Order(self._owed or "")
        if self._asked:
            order = Order("asked", self._asked.pop(0))
        else:
            self._owed = None
        self._take(order, progress, gather)

    def take_news(self) -> list[Message]:
        """Return what became of checkpoints since the last time."""
        return self._publisher.take_news()

    def finish(self, progress: Progress, gather: Gather | None) -> None:
        """Wait until everything is on the disk, also what is owed or asked for.

        Args:
            progress: of the run.
            gather: returns the run's state; None where it has come to its end, and there is
                nothing to go on with.
        """
        self._scribe.wait()
        while gather is not None and (self._owed is not None or self._asked):
            self.look(progress, gather)
            self._scribe.wait()
        for command in self._asked:
            text = f"the run has come to its end after {progress.step} steps: take its weights"
            self._publisher.fail(Order("asked", command), progress.step, FailedPrecondition(text))
        self._asked.clear()

    def find(
        self, until: int | None, *, else_oldest: bool = False, repeatable: bool = False
    ) -> State | None:
        """Return the newest good state to go back to, once no checkpoint is being written.

        It is on the disk then, as a checkpoint like any other.

        Args:
            until: of at most so many finished steps; None is any.
            else_oldest: whether the oldest will do where there is none such.
            repeatable: whether it must be one that a trainer would find too which has gone on from
                the newest checkpoint: of snapshots, that one has those that come after it.
        """
        self._scribe.wait()
        on_disk = list_checkpoints(self.folder)
        since = on_disk[-1].step if repeatable and on_disk else -1
        in_memory = [one for one in self.in_memory if one.step > since]
        for one in eligible([*on_disk, *in_memory], until, else_oldest=else_oldest):
            path = self._write_snapshot(one.step) if one.in_memory else Path(one.path)
            if path is not None:
                with suppress(BadCheckpoint):
                    return read_state(path, spec_sha256=self._spec_sha256, forms=self._ranks.forms)
        return None

    def go_back(self, step: int, revision: int) -> None:
        """Put the checkpoints aside, and forget the snapshots, that a rollback has undone.

        Args:
            step: finished steps of the checkpoint that the run went back to.
            revision: of the rollback.
        """
        set_aside(self.folder, step, revision)
        if self._scribe.keeps:
            self._ranks.join_in(Errand.FORGET, step)
            self._scribe.forget(step)
        self._due.begin(step)

    def _make_room(self, progress: Progress, gather: Gather) -> None:
        """Take the memory for copies when the first step has shown what there is to copy."""
        self._has_room = True
        if not self._due.ever and not self._scribe.keeps:
            return
        live = self._gather(Order("every"), progress, gather)
        if live is None or self.is_busy:
            return  # then it is taken when it is needed
        self._ranks.join_in(Errand.MAKE_ALL_ROOM, live.step)
        self._scribe.make_room(live, for_all=True)

    def _gather(self, order: Order, progress: Progress, gather: Gather) -> State | None:
        """Return the run's state; None, and tell, where it cannot be kept."""
        try:
            return gather()
        except FailedPrecondition as error:
            # It will be so the next time too: once is enough for those nobody asks for.
            if order.command is not None or str(error) != self._hopeless:
                self._publisher.fail(order, progress.step, error)
            self._hopeless = str(error)
            return None

    def _keep_snapshot(self, progress: Progress, gather: Gather) -> None:
        live = self._gather(Order("every"), progress, gather)
        if live is not None:
            self._ranks.join_in(Errand.KEEP, live.step)
            self._scribe.keep(live)

    def _write_snapshot(self, step: int) -> Path | None:
        """Make a checkpoint of a snapshot; see `Publisher.publish_snapshot`."""
        self._ranks.join_in(Errand.WRITE_KEPT, step)
        return self._publisher.publish_snapshot(self._scribe.take_kept(step))

    def _take(self, order: Order, progress: Progress, gather: Gather) -> None:
        began = time.perf_counter()
        live = self._gather(order, progress, gather)
        if live is None:
            self._due.note(began)
            return
        if order.reason in ("every", "best") and not self._scribe.fits(live):
            # The room first, and then the state of the step that will have been reached.
            self._owed = order.reason
            self._ranks.join_in(Errand.MAKE_ROOM, live.step)
            self._scribe.make_room(live)
            return
        self._ranks.join_in(Errand.WRITE, live.step)
        state = self._scribe.copy(live)
        taken_at = time.perf_counter()
        self._due.note(taken_at, state.validation_loss)
        stalled = taken_at - began
        self._scribe.start(lambda: self._publisher.publish(order, state, began, stalled))
