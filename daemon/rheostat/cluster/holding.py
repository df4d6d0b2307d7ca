"""Taking a resource, keeping it from vanishing, and letting it go.

Each write carries the version it follows from, so that it fails where somebody else was quicker.
"""

from collections.abc import Iterable

from rheostat.cluster.calling import ApiServer
from rheostat.cluster.names import FINALIZER
from rheostat.cluster.resources import TrainingRun


async def claim(api: ApiServer, resource: TrainingRun, daemon: str) -> TrainingRun:
    """Write a daemon into the status, and return the resource as it is then.

    Raises:
        CallFailed: with 409 if another daemon was quicker.
    """
    patch = {"metadata": _at(resource), "status": {"daemon": daemon}}
    return TrainingRun.read(await api.patch_status(resource.name, patch))


async def guard(api: ApiServer, resource: TrainingRun) -> TrainingRun:
    """Add the finalizer, and return the resource as it is then.

    Raises:
        CallFailed: with 409 if the resource has changed since.
    """
    return await _keep(api, resource, [*resource.finalizers, FINALIZER])


async def let_go(api: ApiServer, resource: TrainingRun) -> TrainingRun:
    """Remove the finalizer, and return the resource as it is then.

    Raises:
        CallFailed: with 409 if the resource has changed since.
    """
    return await _keep(api, resource, (one for one in resource.finalizers if one != FINALIZER))


async def _keep(api: ApiServer, resource: TrainingRun, finalizers: Iterable[str]) -> TrainingRun:
    patch = {"metadata": {**_at(resource), "finalizers": list(finalizers)}}
    return TrainingRun.read(await api.patch_run(resource.name, patch))


def _at(resource: TrainingRun) -> dict[str, str]:
    return {"resourceVersion": resource.resource_version}
