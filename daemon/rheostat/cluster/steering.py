"""Bringing a declaration about: round after round, until the run stands as it is wanted.

The schedule comes first and the LR last, so that an LR that is set is set on the new schedule.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec

from rheostat.cluster.changing import new_wishes, next_changes
from rheostat.cluster.comparing import own_policies
from rheostat.cluster.declaration import Declaration
from rheostat.cluster.declared_policies import new_policy_wishes, next_policy_changes
from rheostat.cluster.reported import Acted
from rheostat.cluster.resources import TrainingRun
from rheostat.cluster.story import request_prefix
from rheostat.errors import FailedPrecondition
from rheostat.runs.records import RunView
from rheostat.runs.service import RunService
from rheostat.steering.records import Change, Verb

MAX_ROUNDS = 8
"""Rounds of changes that one declaration may take; with nobody else at it, three are enough."""


async def steer(
    service: RunService, run: str, resource: TrainingRun, declared: Declaration, acted: Acted
) -> AsyncIterator[Acted]:
    """Change schedule, policies and LR of a run to what its resource declares.

    The request ids follow from the resource and its generation: done twice, after a crash between
    the change and the note of it, it is done once.

    Args:
        service: where the run is.
        run: its name.
        resource: who asks, and in which generation.
        declared: what for.
        acted: what was carried out before.

    Yields:
        What is carried out by now; the last one is all of it. What is refused leaves what was done
        before it.

    Raises:
        RheostatError: whatever `RunService.change_learning_rate` raises.
    """
    hand = _Hand(service, run, resource)
    for part in (_edit_schedule, _bring_policies_about, _bring_rates_about):
        async for done in part(hand, declared, acted):
            acted = done
            yield acted
    yield acted.model_copy(update={"generation": resource.generation, "suspend": declared.suspend})


@dataclass(frozen=True, slots=True)
class _Hand:
    """What changes a run in the name of its resource."""

    service: RunService
    run: str
    resource: TrainingRun

    async def view(self) -> RunView:
        return await self.service.get_run(self.run)

    async def change(self, change: Change, *, round_: int, about: str, reason: str) -> None:
        """Ask for a change, unless this generation has asked for it before."""
        resource = self.resource
        where = f"{resource.namespace}/{resource.name}, generation {resource.generation}"
        asked = (request_prefix(resource.uid), str(resource.generation), str(round_), change.verb)
        await self.service.change_learning_rate(
            self.run,
            msgspec.structs.replace(
                change,
                principal=resource.principal,
                reason=f"{reason} [TrainingRun {where}]".lstrip(),
                request_id=":".join((*asked, about)),
            ),
        )

    def give_up(self) -> FailedPrecondition:
        return FailedPrecondition(f"others change the LR of {self.run} again and again")


async def _edit_schedule(hand: _Hand, declared: Declaration, acted: Acted) -> AsyncIterator[Acted]:
    if declared.schedule is not None:
        reason = declared.schedule.reason
        for change, done in declared.schedule.new_edits(acted.schedule):
            view = await hand.view()
            await hand.change(change, round_=0, about="schedule", reason=reason)
            update = {"schedule": done, "schedule_revision": view.revision}
            acted = acted.model_copy(update=update)
            yield acted
    yield acted.model_copy(update={"schedule": declared.schedule})


async def _bring_policies_about(
    hand: _Hand, declared: Declaration, acted: Acted
) -> AsyncIterator[Acted]:
    view = await hand.view()
    own = own_policies(view)
    wishes, outdated = new_policy_wishes(declared.policies, acted.policies, own)
    since = {**acted.policy_revisions, **dict.fromkeys(wishes, view.revision)}
    for round_ in range(MAX_ROUNDS):
        view = await hand.view()
        statuses = view.snapshot.policies if view.snapshot else ()
        changes = list(next_policy_changes(wishes, statuses, outdated))
        if not changes:
            done = {"policies": declared.policies, "policy_revisions": since}
            yield acted.model_copy(update=done)
            return
        for change in changes:
            assert change.policy is not None
            name = change.policy.policy
            said = declared.policies.get(name)
            reason = said.reason if said else ""
            await hand.change(change, round_=round_, about=name, reason=reason)
            outdated.discard(name)
    raise hand.give_up()


async def _bring_rates_about(
    hand: _Hand, declared: Declaration, acted: Acted
) -> AsyncIterator[Acted]:
    view = await hand.view()
    names = [group.name for group in view.groups]
    wishes = new_wishes(declared.learning_rate, acted.learning_rate, names)
    since = {**acted.revisions, **dict.fromkeys(wishes, view.revision)}
    reason = declared.learning_rate.reason if declared.learning_rate else ""
    laid: set[str] = set()
    for round_ in range(MAX_ROUNDS):
        view = await hand.view()
        changes = next_changes(wishes, view.snapshot.groups if view.snapshot else (), laid)
        if not changes:
            done = {"learning_rate": declared.learning_rate, "revisions": since}
            yield acted.model_copy(update=done)
            return
        for change in changes:
            await hand.change(change, round_=round_, about=change.groups[0], reason=reason)
            if change.verb is not Verb.RELEASE:
                laid.update(change.groups)
    raise hand.give_up()
