"""Runs that a script of the user's own trains: how it becomes one, and what it is told to call."""

from collections.abc import Awaitable, Callable

import msgspec

from rheostat.errors import FailedPrecondition
from rheostat.runs.keeping import Keeper
from rheostat.runs.lifecycle import Lifecycle
from rheostat.runs.live import LiveRun
from rheostat.runs.records import Attachment, Phase, RunView
from rheostat.runs.script_forks import require_restore, spec_of_fork
from rheostat.runs.supervisor import Supervisor
from rheostat.spec.attached import AttachedSpec, load_attached


class Attachments:
    """Makes scripts runs, anew or again."""

    def __init__(self, lifecycle: Lifecycle, keeper: Keeper, supervisor: Supervisor) -> None:
        self._lifecycle = lifecycle
        self._keeper = keeper
        self._supervisor = supervisor
        self._begun: dict[str, str] = {}
        """Forks that a script has begun, by the key it asked with."""

    async def make(
        self,
        spec: str,
        *,
        principal: str,
        resume: bool = False,
        restores: bool = False,
        request_id: str = "",
        permit: Callable[[str], Awaitable[None]] | None = None,
    ) -> Attachment:
        """Make a script a run, and wait for its call.

        A fork that waits for its script is begun by the first one of its name.

        Args:
            spec: what it says of itself, an `AttachedSpec` as JSON.
            principal: who asks.
            resume: whether to go on with the run of that name, if there is one.
            restores: whether the script can be brought to a checkpoint.
            request_id: idempotency key: the same again returns the first run.
            permit: raises if the caller may have no run of that name.

        Raises:
            InvalidSpec: if the script says what cannot be.
            FailedPrecondition: if the run to go on with is no script's, or has one that lives, or
                begins at a checkpoint that the script cannot be brought to.
        """
        said = load_attached(spec)
        if permit is not None:
            await permit(said.name)
        waiting = self._lifecycle.runs.get(self._begun.get(request_id, said.name))
        if waiting is not None and request_id in self._begun:
            return self._attachment(waiting)
        if waiting is not None and waiting.view.awaits_script:
            require_restore(waiting.view, restores=restores)
            return self._attachment(await self._begin_fork(waiting, said, request_id))
        known = self._keeper.store.get_run
        before = await self._keeper.stored(known, said.name) if resume else None
        if before is None:
            run = await self._create(said, principal, request_id)
        else:
            if before.begins_at_checkpoint:
                require_restore(before, restores=restores)
                said = spec_of_fork(before, said)
            run = await self._take_up(before, said)
        return self._attachment(run)

    def _attachment(self, run: LiveRun) -> Attachment:
        return Attachment(
            run=run.view,
            link=str(self._supervisor.link_file),
            folder=str(self._supervisor.make_folder(run.view.name)),
            token=run.token,
        )

    async def _create(self, said: AttachedSpec, principal: str, request_id: str) -> LiveRun:
        now = self._keeper.clock()
        view = RunView(
            name=said.name,
            phase=Phase.STARTING,
            spec=said.model_dump_json(),
            steps=said.train.steps,
            principal=principal,
            created_at=now,
            queued_at=now,
            started_at=now,
            attempt=1,
            attached=True,
        )
        created = await self._keeper.stored(self._keeper.store.create_run, view, request_id)
        known = self._lifecycle.runs.get(created.name)
        if known is not None and created.attached:
            return known
        if (created.spec, created.phase) != (view.spec, view.phase):
            raise FailedPrecondition(
                f"request_id {request_id!r} was used to create run {created.name} before; "
                "a new run needs a new request_id"
            )
        run = LiveRun(created)
        await self._keeper.save_trainer(run)
        self._lifecycle.await_script(run)
        return run

    async def _begin_fork(self, run: LiveRun, said: AttachedSpec, request_id: str) -> LiveRun:
        """Let a script begin a fork that waits for it."""
        view, now = run.view, self._keeper.clock()
        whole = spec_of_fork(view, said)
        # At once, so that it is taken when the next script asks.
        run.update(phase=Phase.STARTING)
        try:
            await self._keeper.save(
                run,
                phase=Phase.STARTING,
                spec=whole.model_dump_json(),
                steps=whole.train.steps or view.steps,
                started_at=view.started_at or now,
                attempt=view.attempt + 1,
            )
            await self._keeper.save_trainer(run)
        except BaseException:
            run.update(phase=Phase.QUEUED)
            raise
        if request_id:
            self._begun[request_id] = view.name
        self._lifecycle.await_script(run)
        return run

    async def _take_up(self, before: RunView, said: AttachedSpec) -> LiveRun:
        """Return a run that goes on with another process of its script."""
        name = before.name
        if not before.attached:
            raise FailedPrecondition(
                f"run {name} is trained from a spec, by the daemon: give the script another name"
            )
        if self._supervisor.is_living(name):
            pid = self._supervisor.pid_of(name)
            raise FailedPrecondition(
                f"run {name} has a script that lives, process {pid}: end that one first, or give "
                "this one another name"
            )
        await self._lifecycle.trainer_gone(name)
        run = await self._lifecycle.load(
            msgspec.structs.replace(
                before,
                phase=Phase.STARTING,
                spec=said.model_dump_json(),
                steps=said.train.steps or before.steps,
                attempt=before.attempt + 1,
                is_paused=False,
                finished_at=None,
                result=None,
                failure=None,
            )
        )
        await self._keeper.save(run)
        await self._keeper.save_trainer(run)
        self._lifecycle.await_script(run)
        return run
