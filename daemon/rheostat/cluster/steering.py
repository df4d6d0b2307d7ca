"""Bringing a declared LR about: round after round, until the run stands as it is wanted."""

import msgspec

from rheostat.cluster.changing import new_wishes, next_changes
from rheostat.cluster.declaration import Declaration
from rheostat.cluster.reported import Acted
from rheostat.cluster.resources import TrainingRun
from rheostat.cluster.story import request_prefix
from rheostat.errors import FailedPrecondition
from rheostat.runs.service import RunService
from rheostat.steering.records import Verb

MAX_ROUNDS = 8
"""Rounds of changes that one declaration may take; with nobody else at it, three are enough."""


async def steer(
    service: RunService, run: str, resource: TrainingRun, declared: Declaration, acted: Acted
) -> Acted:
    """Change the LR of a run to what its resource declares.

    The request ids follow from the resource and its generation: done twice, after a crash between
    the change and the note of it, it is done once.

    Args:
        service: where the run is.
        run: its name.
        resource: who asks, and in which generation.
        declared: what for.
        acted: what was carried out before.

    Returns:
        What is carried out now.

    Raises:
        RheostatError: whatever `RunService.change_learning_rate` raises.
    """
    view = await service.get_run(run)
    names = [group.name for group in view.groups]
    wishes = new_wishes(declared.learning_rate, acted.learning_rate, names)
    since = dict.fromkeys(wishes, view.revision)
    laid: set[str] = set()
    for round_ in range(MAX_ROUNDS):
        view = await service.get_run(run)
        changes = next_changes(wishes, view.snapshot.groups if view.snapshot else (), laid)
        if not changes:
            return Acted(
                generation=resource.generation,
                suspend=declared.suspend,
                learning_rate=declared.learning_rate,
                revisions={**acted.revisions, **since},
            )
        for change in changes:
            asked = msgspec.structs.replace(
                change,
                principal=resource.principal,
                reason=_reason(resource, declared),
                request_id=":".join(
                    (
                        request_prefix(resource.uid),
                        str(resource.generation),
                        str(round_),
                        change.verb,
                        change.groups[0],
                    )
                ),
            )
            await service.change_learning_rate(run, asked)
            if change.verb is not Verb.RELEASE:
                laid.update(change.groups)
    raise FailedPrecondition(f"others change the LR of {run} again and again")


def _reason(resource: TrainingRun, declared: Declaration) -> str:
    given = declared.learning_rate.reason if declared.learning_rate else ""
    where = f"{resource.namespace}/{resource.name}, generation {resource.generation}"
    return f"{given} [TrainingRun {where}]".lstrip()
