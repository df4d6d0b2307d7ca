"""One resource and its run: does what is to be done, and reports how it stands.

One task follows the run, one tends the resource. What has to wait for the run, an LR or a pause, is
carried by a third, which may take as long as a step, while the other two go on.
"""

import asyncio
import json
import math
from collections.abc import Callable, Coroutine
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import msgspec
import structlog

from rheostat.cluster.calling import ApiServer, CallFailed
from rheostat.cluster.comparing import asks_for_another
from rheostat.cluster.declaration import Declaration
from rheostat.cluster.events import Notice, notice_of_event, notice_of_phase, notices_of
from rheostat.cluster.findings import ACCEPTED, LEARNING_RATE_APPLIED, Findings, Refusal
from rheostat.cluster.holding import claim, guard, let_go
from rheostat.cluster.reconciling import (
    Action,
    Claim,
    Create,
    Guard,
    LetGo,
    Note,
    Pause,
    Resume,
    Steer,
    Stop,
    is_settled,
    next_action,
)
from rheostat.cluster.reporting import Reporter
from rheostat.cluster.resources import TrainingRun
from rheostat.cluster.steering import steer
from rheostat.cluster.story import Story, continued, request_prefix
from rheostat.errors import (
    FailedPrecondition,
    InvalidRequest,
    InvalidSpec,
    NotFound,
    RheostatError,
)
from rheostat.runs.records import RunView, WatchEvent
from rheostat.runs.service import RunService

RETRY_SECONDS = 10.0
"""Time before something is tried again that the run or the disk could not do."""
_DELETER = "kubernetes"
"""Principal of a stop by deletion: the API server does not say who deleted."""

log = structlog.get_logger()


class Caretaker:
    """Tends one resource from the moment it is seen until it is gone."""

    def __init__(
        self,
        resource: TrainingRun,
        *,
        service: RunService,
        api: ApiServer,
        daemon: str,
        clock: Callable[[], float],
    ) -> None:
        self._resource = resource
        self._service = service
        self._api = api
        self._daemon = daemon
        self._clock = clock
        self._began_at = clock()
        self._run: RunView | None = None
        self._story = Story()
        self._acted = resource.status.acted
        self._refusals: dict[str, Refusal] = {}
        self._told_phase: str | None = resource.status.phase
        self._told_event_at = self._began_at
        self._reporter = Reporter(api, daemon)
        self._news = asyncio.Event()
        self._follower: asyncio.Task[None] | None = None
        self._carrier: asyncio.Task[None] | None = None
        self._tender = asyncio.create_task(self._tend_forever(), name=f"tend {resource.name}")

    def see(self, resource: TrainingRun) -> None:
        """Take the resource as the API server has it, unless something newer is known."""
        if not resource.is_older_than(self._resource):
            self._resource = resource
            self._news.set()

    async def dismiss(self) -> None:
        """End; the run goes on."""
        tasks = [one for one in (self._tender, self._follower, self._carrier) if one is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def conclude(self) -> None:
        """End, and report for the last time how the run stands."""
        await self.dismiss()
        if self._run is None or not self._has_news():
            return
        self._run = await self._service.get_run(self._run.name)
        with suppress(CallFailed):
            await self._reporter.report(self._findings())

    async def _tend_forever(self) -> None:
        name = self._resource.name
        while True:
            self._news.clear()
            try:
                await self._tend()
            except CallFailed as error:
                if error.status != HTTPStatus.CONFLICT:  # else the watch brings what is new
                    log.debug("cluster.call_failed", resource=name, why=str(error))
            except RheostatError as error:
                log.warning("cluster.cannot", resource=name, why=str(error))
            except Exception:
                # What is wrong with one resource must not keep the others waiting.
                log.exception("cluster.failed", resource=name)
                await asyncio.sleep(RETRY_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._reporter.seconds_to_next or RETRY_SECONDS):
                    await self._news.wait()

    async def _tend(self) -> None:
        await self._adopt()
        while (action := next_action(self._findings())) is not None:
            await self._do(action)
        resource = self._resource
        is_leaving = resource.is_deleting and not resource.is_guarded
        if resource.status.daemon != self._daemon or is_leaving or self._reporter.seconds_to_next:
            return
        if self._has_news():
            self.see(await self._reporter.report(self._findings()))

    async def _adopt(self) -> None:
        """Take up the run that is the resource's already, each time that it comes to life."""
        if self._run is None or self._run.phase.is_final:
            await self._look_for_run()
        is_over = self._run is None or is_settled(self._resource, self._run)
        if self._run is not None and self._follower is None and not is_over:
            follow = self._follow(self._run.name)
            self._follower = asyncio.create_task(follow, name=f"follow {self._run.name}")

    async def _look_for_run(self) -> None:
        """Find the run of a script, of an earlier life of this daemon, or one that was resumed."""
        status = self._resource.status
        if self._resource.is_attached:
            name = str(self._resource.run["name"])
        elif status.run and status.daemon == self._daemon:
            name = status.run
        else:
            return
        try:
            run = await self._service.get_run(name)
        except NotFound:
            return
        if self._resource.is_attached and not run.attached:
            if self._findings().refusal(ACCEPTED) is None:
                why = f"spec.attached: run {name} is trained from a spec, by no script"
                self._refuse(self._resource, ACCEPTED, "NotAttached", why)
            return
        was = self._run
        if was is not None and (run.attempt != was.attempt or not run.phase.is_final):
            # The follower ended with the run. Another reads it all, and tells what is new.
            self._follower = None
            if self._story.last is not None:
                self._began_at = math.nextafter(self._story.last.time, math.inf)
            self._story = Story()
        self._run = run

    def _has_news(self) -> bool:
        """Whether there is something to report, and all that belongs to it is known."""
        if self._run is None:
            return True
        is_over = is_settled(self._resource, self._run) and not self._reporter.has_untold
        read = self._story.last.revision if self._story.last else 0
        return not is_over and read >= self._run.revision

    def _findings(self) -> Findings:
        resource, run = self._resource, self._run
        refusals = tuple(self._refusals.values())
        if resource.mistake:
            mistake = Refusal(
                generation=resource.generation,
                condition=ACCEPTED,
                reason="InvalidSpec",
                message=resource.mistake,
            )
            refusals = (mistake, *refusals)
        return Findings(
            resource=resource,
            daemon=self._daemon,
            run=run,
            story=self._story,
            acted=self._acted,
            refusals=refusals,
            is_changed=run is not None and asks_for_another(resource, run, self._daemon),
            is_steering=self._carrier is not None and not self._carrier.done(),
            now=self._clock(),
        )

    # --- what happens to the run -----------------------------------------------------------------

    async def _follow(self, run: str) -> None:
        # From the first decision on: what is drift follows from the whole history.
        try:
            async for event in self._service.watch_run(run, after_revision=0):
                self._hear(event)
        except Exception as error:  # its store is closed when the daemon ends
            log.warning("cluster.lost_sight", run=run, why=str(error))

    def _hear(self, event: WatchEvent) -> None:
        if event.decision is not None:
            self._story = continued(self._story, event.decision, self._resource.uid)
            if event.decision.time >= self._began_at:
                for notice in notices_of(event.decision):
                    self._reporter.note(notice, self._clock())
        elif event.view is not None:
            self._run = event.view
            news = notice_of_phase(event.view)
            if news is not None and event.view.phase.value != self._told_phase:
                self._reporter.note(news, self._clock())
            self._told_phase = event.view.phase.value
            for one in event.view.events:
                if one.time > self._told_event_at:
                    self._told_event_at = one.time
                    self._reporter.note(notice_of_event(one), self._clock())
        elif self._run is not None:
            is_first = self._run.snapshot is None
            self._run = msgspec.structs.replace(self._run, snapshot=event.snapshot)
            if not is_first:
                return  # the next report is soon enough
        self._news.set()

    # --- what is to be done ----------------------------------------------------------------------

    async def _do(self, action: Action) -> None:
        match action:
            case Claim():
                self.see(await claim(self._api, self._resource, self._daemon))
            case Guard():
                self.see(await guard(self._api, self._resource))
            case LetGo():
                with suppress(CallFailed):
                    await self._reporter.tell_events(self._resource)
                self.see(await let_go(self._api, self._resource))
            case Create():
                await self._create()
            case Stop(run):
                self._run = await self._service.stop_run(run, principal=_DELETER)
            case Pause(run):
                self._carry(self._suspend(run, True))
            case Resume(run):
                self._carry(self._suspend(run, False))
            case Steer(run, declared):
                self._carry(self._steer(run, declared))
            case Note(declared):
                noted = {"generation": self._resource.generation, "suspend": declared.suspend}
                self._acted = self._acted.model_copy(update=noted)

    async def _create(self) -> None:
        resource = self._resource
        try:
            self._run = await self._service.create_run(
                json.dumps(resource.run),
                principal=resource.principal,
                request_id=request_prefix(resource.uid),
            )
        except InvalidSpec as error:
            self._refuse(resource, ACCEPTED, "InvalidSpec", f"spec.run: {error}")
        except RheostatError as error:
            self._refuse(resource, ACCEPTED, "CannotBeCreated", str(error), is_final=False)
        else:
            self._refusals.pop(ACCEPTED, None)
            await self._adopt()

    # --- what has to wait for the run -------------------------------------------------------------

    def _carry(self, errand: Coroutine[Any, Any, None]) -> None:
        self._carrier = asyncio.create_task(errand, name=f"steer {self._resource.name}")
        self._carrier.add_done_callback(lambda _: self._news.set())

    async def _suspend(self, run: str, suspend: bool) -> None:
        ask = self._service.pause_run if suspend else self._service.resume_run
        with suppress(FailedPrecondition):  # it has ended, or is about to
            await ask(run, principal=self._resource.principal)
            self._acted = self._acted.model_copy(update={"suspend": suspend})

    async def _steer(self, run: str, declared: Declaration) -> None:
        resource = self._resource
        try:
            async for acted in steer(self._service, run, resource, declared, self._acted):
                self._acted = acted
        except InvalidRequest as error:
            self._refuse(resource, LEARNING_RATE_APPLIED, "InvalidDeclaration", str(error))
        except RheostatError as error:
            self._refuse(resource, LEARNING_RATE_APPLIED, "Refused", str(error), is_final=False)
        else:
            self._refusals.pop(LEARNING_RATE_APPLIED, None)

    def _refuse(
        self,
        resource: TrainingRun,
        condition: str,
        reason: str,
        message: str,
        *,
        is_final: bool = True,
    ) -> None:
        """Keep why something was not done; it is tried again, or not until the resource changes."""
        now = self._clock()
        self._refusals[condition] = Refusal(
            generation=resource.generation,
            condition=condition,
            reason=reason,
            message=message,
            retry_at=None if is_final else now + RETRY_SECONDS,
        )
        self._reporter.note(Notice(reason=reason, kind="Warning", message=message), now)
        log.warning("cluster.refused", resource=resource.name, reason=reason, why=message)
