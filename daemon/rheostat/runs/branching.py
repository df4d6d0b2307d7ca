"""Runs made from other runs: forks, which go another way, and replays, which do the same again."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from rheostat.errors import FailedPrecondition, InvalidRequest, Violation
from rheostat.runs.checkpoints import CheckpointInfo, adopt, aside_of, newest_good
from rheostat.runs.keeping import Keeper
from rheostat.runs.lifecycle import Lifecycle
from rheostat.runs.reading import Reader
from rheostat.runs.records import GENERATORS, OPTIONS, STEERING, Origin, Phase, RunView
from rheostat.runs.store import MAX_NAME_LENGTH
from rheostat.runs.supervisor import Supervisor
from rheostat.spec.admission import Admission
from rheostat.spec.models import Spec
from rheostat.spec.validation import load


class Branches:
    """Makes runs from what others have left on the disk; those are not touched."""

    def __init__(
        self,
        reader: Reader,
        keeper: Keeper,
        lifecycle: Lifecycle,
        supervisor: Supervisor,
        admission: Admission | None = None,
    ) -> None:
        self._admission = admission
        self._reader = reader
        self._keeper = keeper
        self._lifecycle = lifecycle
        self._supervisor = supervisor

    async def fork(
        self,
        run: str,
        spec: str,
        *,
        step: int | None,
        undone: int | None = None,
        precedence: str = "",
        principal: str,
        request_id: str,
        permit: Callable[[str], Awaitable[None]] | None = None,
    ) -> RunView:
        """Put a run into the queue that goes on from a checkpoint of another one.

        Its history and its step rows begin with those of the other. What its spec says otherwise
        counts from the checkpoint on.

        Args:
            run: the other one.
            spec: of the new one, YAML or JSON text; its name is the wished one.
            step: go on from the newest good checkpoint of at most so many finished steps; None is
                the newest of all.
            undone: take one that the rollback of this revision has undone; None is one that stands.
            precedence: `CHECKPOINT` is to go on with its schedule, overrides and policies,
                `SPEC` with those of the spec; empty is with the spec's where they differ.
            principal: who asks.
            request_id: idempotency key.
            permit: raises if there may be no run of the spec's name.

        Raises:
            InvalidSpec: if the spec is none, or names what it may not.
            InvalidRequest, NotFound, FailedPrecondition: if there is no such run or checkpoint, or
                the model is another, or the checkpoint is to take precedence and cannot.
        """
        parent = await self._of_spec(run, to="fork")
        parsed = await asyncio.to_thread(load, spec)
        before = Spec.model_validate_json(parent.spec)
        if permit is not None:
            await permit(parsed.name)
        if self._admission is not None:
            self._admission.check(parsed.model_dump(mode="json"))
        if parsed.model != before.model:
            raise InvalidRequest([Violation("spec.model", parsed.model.name, _SAME_MODEL)])
        anew = _anew(before, parsed, precedence)
        checkpoint = await self._checkpoint(run, step, undone)
        origin = Origin(
            run=run,
            kind="fork",
            step=checkpoint.step,
            revision=checkpoint.revision,
            anew=anew,
        )
        view = self._view(parsed.name, parsed.model_dump_json(), parent, origin, principal)
        created = await self._keeper.stored(
            self._keeper.store.branch_run,
            view,
            request_id,
            revision=checkpoint.revision,
            offences=checkpoint.step,
            undone_by=undone,
        )
        return await self._begin(created, view, checkpoint)

    async def replay(self, run: str, *, principal: str, request_id: str) -> RunView:
        """Put a run into the queue that does the same as another one has done, step by step.

        It trains from the same spec and seed, what was decided is decided at the same steps, and it
        ends where the other one stands; so it should come to the same numbers.

        Raises:
            NotFound, FailedPrecondition: if there is no such run, or it has not finished a step.
        """
        source = await self._of_spec(run, to="replay")
        live = self._lifecycle.runs.get(run)
        if live is not None:
            await self._lifecycle.save_rows(live)
        done = await self._keeper.stored(self._keeper.store.next_row, run)
        past = source.origin
        checkpoint, step = None, 0
        if past is not None and past.step:
            checkpoint, step = await self._checkpoint(run, past.step), past.step
        if done <= step:
            raise FailedPrecondition(f"run {run} has not finished a step of its own yet")
        origin = Origin(
            run=run,
            kind="replay",
            step=step,
            revision=past.revision if past else 0,
            until=done,
            anew=past.anew if past else (),
        )
        name = f"{run[: MAX_NAME_LENGTH - len('-replay')]}-replay"
        view = self._view(name, source.spec, source, origin, principal)
        created = await self._keeper.stored(
            self._keeper.store.branch_run,
            view,
            request_id,
            revision=(await self._reader.get(run)).revision,
            offences=done,
        )
        return await self._begin(created, view, checkpoint)

    async def _of_spec(self, run: str, *, to: str) -> RunView:
        """Return a run that can be made from its spec again.

        Raises:
            NotFound, FailedPrecondition: if there is no such run, or a script trains it.
        """
        view = await self._reader.get(run)
        if view.attached:
            raise FailedPrecondition(
                f"run {run} is trained by a script of its own, which only its owner can start: "
                f"there is no spec to {to} it from"
            )
        return view

    def _view(
        self, name: str, spec: str, parent: RunView, origin: Origin, principal: str
    ) -> RunView:
        now = self._keeper.clock()
        return RunView(
            name=name,
            phase=Phase.QUEUED,
            spec=spec,
            principal=principal,
            created_at=now,
            queued_at=now,
            priority=parent.priority,
            origin=origin,
        )

    async def _checkpoint(
        self, run: str, step: int | None, undone: int | None = None
    ) -> CheckpointInfo:
        folder = self._supervisor.checkpoints_of(run)
        if undone is not None:
            folder = aside_of(folder, undone)
        found, _ = await asyncio.to_thread(newest_good, folder, until=step)
        if found is None:
            which = "" if step is None else f" of step {step} or before"
            which += "" if undone is None else f" that revision {undone} has undone"
            raise FailedPrecondition(
                f"run {run} has no good checkpoint{which}; `rheostat checkpoint list {run}` shows "
                "those there are"
            )
        return found

    async def _begin(
        self, created: RunView, wished: RunView, checkpoint: CheckpointInfo | None
    ) -> RunView:
        """Bring the new run's checkpoint to its place, and put it into the queue."""
        if (created.spec, created.origin) != (wished.spec, wished.origin):
            raise FailedPrecondition(
                f"this request_id was used to create run {created.name} in another way; "
                "a new run needs a new request_id"
            )
        name = created.name
        if created.phase is not Phase.QUEUED or name in self._lifecycle.runs:
            return created
        if checkpoint is not None:
            await asyncio.to_thread(
                adopt,
                Path(checkpoint.path),
                self._supervisor.checkpoints_of(name),
                run=name,
                spec=created.spec,
            )
        self._lifecycle.enqueue(await self._lifecycle.load(created))
        return created


SPEC, CHECKPOINT = "spec", "checkpoint"
"""What may take precedence, in what a fork knows of LRs, over the other."""
_SAME_MODEL = "the model of the run it is forked from, since its weights are taken over"
_STEERING = ("optimizer", "groups", "schedule", "policies", "guardrails")


def _anew(before: Spec, after: Spec, precedence: str) -> tuple[str, ...]:
    """Return what a fork has from its own spec, not from the checkpoint.

    Raises:
        InvalidRequest: if the checkpoint is to take precedence and cannot, or for another word.
    """
    anew = tuple(_differences(before, after))
    if precedence not in ("", SPEC, CHECKPOINT):
        expected = f"{SPEC}, {CHECKPOINT}, or nothing"
        raise InvalidRequest([Violation("precedence", precedence, expected)])
    if precedence == SPEC and STEERING not in anew:
        return (STEERING, *anew)
    if precedence == CHECKPOINT and STEERING in anew:
        expected = (
            f"{SPEC}, or a spec with the same length, optimizer, groups, schedule, policies and "
            "guardrails: what the checkpoint knows of LRs fits no others"
        )
        raise InvalidRequest([Violation("precedence", precedence, expected)])
    return anew


def _differences(before: Spec, after: Spec) -> Iterator[str]:
    """Yield what the checkpoint of a run cannot say of one with another spec."""
    lengths = [(one.train.steps, one.train.epochs, one.data.batch_size) for one in (before, after)]
    changed = {name for name in _STEERING if getattr(before, name) != getattr(after, name)}
    if changed or lengths[0] != lengths[1]:
        yield STEERING
    if changed & {"optimizer", "groups"}:
        yield OPTIONS
    if before.train.seed != after.train.seed:
        yield GENERATORS
