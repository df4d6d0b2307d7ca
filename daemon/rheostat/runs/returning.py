"""Taking a run back to a checkpoint of its own."""

import asyncio
import math
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec

from rheostat.errors import FailedPrecondition, Violation
from rheostat.runs.approving import Approvals
from rheostat.runs.checkpoints import (
    BadCheckpoint,
    CheckpointInfo,
    eligible,
    list_checkpoints,
    verify,
)
from rheostat.runs.errands import request_id_is_used
from rheostat.runs.keeping import Keeper
from rheostat.runs.live import LiveRun
from rheostat.runs.messages import RollbackCommand
from rheostat.runs.reading import Reader
from rheostat.runs.records import TRAINING, RollbackResult
from rheostat.runs.supervisor import Supervisor
from rheostat.steering.records import Decision
from rheostat.steering.requests import MAX_REASON_LENGTH


class Rollbacks:
    """Brings wishes to go back to trainers, and their answers back."""

    def __init__(
        self,
        reader: Reader,
        keeper: Keeper,
        supervisor: Supervisor,
        approvals: Approvals | None = None,
    ) -> None:
        self._reader = reader
        self._keeper = keeper
        self._supervisor = supervisor
        self._approvals = approvals

    async def make(
        self, run: str, command: RollbackCommand, *, dry_run: bool = False
    ) -> RollbackResult:
        """Take a run back at its next step boundary; return when that is written down.

        Args:
            run: its name.
            command: what is wanted; its number and time are filled in here.
            dry_run: whether only to say where it would go back to now.

        Raises:
            NotFound, FailedPrecondition: if there is no such run or checkpoint, or the run is not
                training.
        """
        await self._reader.get(run)
        request_id = command.request_id or str(uuid.uuid4())
        known = await self._reader.decided(run, request_id)
        if known is not None and not dry_run:
            if known.rollback is None:
                raise request_id_is_used(request_id)
            return RollbackResult(step=known.rollback.to_step, decision=known)
        live = await self._reader.living(run, *TRAINING, to="be taken back")
        # At the very step the trainer looks for itself; but most mistakes can be told here.
        until = command.step
        if command.back_steps is not None:
            until = live.step - command.back_steps
        found = await self._find(live, until)
        self._check_approval(run, command)
        if dry_run:
            return RollbackResult(step=found.step)
        errand = live.errands.find_request(request_id) or live.command(
            lambda number: msgspec.structs.replace(
                command,
                command_id=number,
                request_id=request_id,
                requested_at=self._keeper.clock(),
            )
        )
        decision: Decision = await asyncio.shield(errand.answer)
        assert decision.rollback is not None
        return RollbackResult(step=decision.rollback.to_step, decision=decision)

    def _check_approval(self, run: str, command: RollbackCommand) -> None:
        """Refuse what would get around the two-person rule; LRs that the run had come back freely.

        Raises:
            FailedPrecondition: in that case.
        """
        terms = None if self._approvals is None else self._approvals.terms_of(run)
        if terms is not None and (command.scale is not None or command.rewarm_steps):
            raise FailedPrecondition(
                f"changes of run {run} take a second person: go back without scale and rewarm, and "
                "ask for these as changes of their own"
            )

    async def _find(self, live: LiveRun, until: int | None) -> CheckpointInfo:
        run = live.view.name
        folder = self._supervisor.checkpoints_of(run)
        on_disk = await asyncio.to_thread(list_checkpoints, folder)
        for one in eligible([*on_disk, *live.view.in_memory], until):
            try:
                if not one.in_memory:
                    await asyncio.to_thread(verify, Path(one.path))
            except BadCheckpoint:
                continue
            return one
        which = "" if until is None else f" of step {until} or before"
        raise FailedPrecondition(
            f"run {run} has no good checkpoint{which} to go back to; `rheostat checkpoint list "
            f"{run}` shows those there are"
        )


def mistakes(command: RollbackCommand) -> Iterator[Violation]:
    """Yield what is wrong with a wish to go back, whatever run it is for."""
    step, back, scale = command.step, command.back_steps, command.scale
    if step is not None and step < 0:
        yield Violation("step", str(step), "0 finished steps or more")
    if back is not None and back < 1:
        yield Violation("back_steps", str(back), "1 or more")
    if step is not None and back is not None:
        yield Violation("back_steps", str(back), "nothing where there is a step")
    if command.skip < 0:
        yield Violation("skip", str(command.skip), "0 batches or more")
    if command.rewarm_steps < 0:
        yield Violation("rewarm_steps", str(command.rewarm_steps), "0 or more")
    if scale is not None and not (math.isfinite(scale) and scale > 0):
        yield Violation("scale", repr(scale), "a factor, finite and more than 0")
    if len(command.reason.encode()) > MAX_REASON_LENGTH:
        expected = f"at most {MAX_REASON_LENGTH} bytes"
        yield Violation("reason", f"{command.reason[:20]}…", expected)
