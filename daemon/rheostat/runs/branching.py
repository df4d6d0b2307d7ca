"""Runs made from other runs: forks, which go another way, and replays, which do the same again."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from rheostat.errors import FailedPrecondition, InvalidRequest, Violation
from rheostat.runs.checkpoints import CheckpointInfo, adopt, aside_of, newest_good
from rheostat.runs.differing import anew_of, differences
from rheostat.runs.keeping import Keeper
from rheostat.runs.lifecycle import Lifecycle
from rheostat.runs.reading import Reader
from rheostat.runs.records import Origin, Phase, RunView
from rheostat.runs.script_forks import (
    check_admission,
    differences_of_scripts,
    how_to_begin,
    load_fork,
)
from rheostat.runs.supervisor import Supervisor
from rheostat.runs.tables.runs import MAX_NAME_LENGTH
from rheostat.spec.admission import Admission
from rheostat.spec.attached import AttachedSpec
from rheostat.spec.models import Spec
from rheostat.spec.validation import load

Permit = Callable[[str], Awaitable[None]]
"""Raises if there may be no run of a name."""

_SAME_MODEL = "the model of the run it is forked from, since its weights are taken over"
_SHOWS = "shows those there are"
_SCRIPTS = (
    "shows those there are; of a script one is taken by `rheostat checkpoint save`, where it is "
    "attached with save=... and restore=..., functions of a folder"
)


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
        permit: Permit | None = None,
    ) -> RunView:
        """Put a run into the queue that goes on from a checkpoint of another one.

        Its history and its step rows begin with those of the other. What its spec says otherwise
        counts from the checkpoint on. Where a script trains the other, it waits for one too.

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
            InvalidSpec: if the spec is none, or names what it may not, or what only a script says.
            InvalidRequest, NotFound, FailedPrecondition: if there is no such run or checkpoint, or
                the model is another, or the checkpoint is to take precedence and cannot.
        """
        parent = await self._reader.get(run)
        read = self._read_scripted if parent.attached else self._read
        parsed, differing = await read(parent, spec, permit)
        anew = anew_of(differing, precedence)
        await self._save_rows(run)
        checkpoint = await self._checkpoint(parent, step, undone)
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
        source = await self._reader.get(run)
        if source.attached:
            raise FailedPrecondition(
                f"run {run} is trained by a script of its own, which only its owner can start: "
                "there is no spec to replay it from"
            )
        await self._save_rows(run)
        done = await self._keeper.stored(self._keeper.store.next_row, run)
        past = source.origin
        checkpoint, step = None, 0
        if past is not None and past.step:
            checkpoint, step = await self._checkpoint(source, past.step), past.step
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

    async def _read(
        self, parent: RunView, text: str, permit: Permit | None
    ) -> tuple[Spec | AttachedSpec, list[str]]:
        """Return the spec of a fork, and what the checkpoint cannot say of it."""
        parsed = await asyncio.to_thread(load, text)
        before = Spec.model_validate_json(parent.spec)
        if permit is not None:
            await permit(parsed.name)
        if self._admission is not None:
            self._admission.check(parsed.model_dump(mode="json"))
        if parsed.model != before.model:
            raise InvalidRequest([Violation("spec.model", parsed.model.name, _SAME_MODEL)])
        return parsed, list(differences(before, parsed))

    async def _read_scripted(
        self, parent: RunView, text: str, permit: Permit | None
    ) -> tuple[Spec | AttachedSpec, list[str]]:
        """Return the same of a fork that another start of its parent's script trains."""
        parsed = await asyncio.to_thread(load_fork, text, parent)
        before = AttachedSpec.model_validate_json(parent.spec)
        if permit is not None:
            await permit(parsed.name)
        if self._admission is not None:
            check_admission(self._admission, parsed, before)
        return parsed, list(differences_of_scripts(before, parsed))

    async def _save_rows(self, run: str) -> None:
        """Write down what a run has told of its steps, which those made from it share."""
        live = self._lifecycle.runs.get(run)
        if live is not None:
            await self._lifecycle.save_rows(live)

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
            attached=parent.attached,
        )

    async def _checkpoint(
        self, view: RunView, step: int | None, undone: int | None = None
    ) -> CheckpointInfo:
        run = view.name
        folder = self._supervisor.checkpoints_of(run)
        if undone is not None:
            folder = aside_of(folder, undone)
        found, _ = await asyncio.to_thread(newest_good, folder, until=step)
        if found is None:
            which = "" if step is None else f" of step {step} or before"
            which += "" if undone is None else f" that revision {undone} has undone"
            hint = _SCRIPTS if view.attached else _SHOWS
            raise FailedPrecondition(
                f"run {run} has no good checkpoint{which}; `rheostat checkpoint list {run}` {hint}"
            )
        return found

    async def _begin(
        self, created: RunView, wished: RunView, checkpoint: CheckpointInfo | None
    ) -> RunView:
        """Bring the new run's checkpoint to its place, and put it into the queue."""
        # A fork's script has had its say, once it has begun.
        is_same = created.spec == wished.spec or (created.attached and not created.awaits_script)
        if created.origin != wished.origin or not is_same:
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
        live = await self._lifecycle.load(created)
        if created.attached:
            self._lifecycle.keep_for_script(live)
            await self._keeper.tell(live, "waiting", how_to_begin(name))
        else:
            self._lifecycle.enqueue(live)
        return live.view
