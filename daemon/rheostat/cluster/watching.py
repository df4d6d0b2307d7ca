"""Knowing which resources there are: list, then watch, for ever, whatever the API server does.

A watch goes on from the version that was seen last. Only when the API server has forgotten that
version (410) is everything listed again. Whatever else fails is tried again, ever more slowly.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus

import structlog

from rheostat.cluster.calling import ApiServer, CallFailed, Document

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 60.0
_HELP: dict[int, str] = {
    HTTPStatus.NOT_FOUND: "is the CustomResourceDefinition of TrainingRun installed?",
    HTTPStatus.FORBIDDEN: "may this service account list and watch trainingruns here?",
}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Listed:
    """All resources there are; those not among them are gone."""

    resources: tuple[Document, ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """A resource that is new or has changed."""

    resource: Document


@dataclass(frozen=True, slots=True)
class Gone:
    """A resource that is no more, as it was."""

    resource: Document


News = Listed | Changed | Gone


class Pauses:
    """How long to wait before the next attempt: twice as long each time, and never in step."""

    def __init__(self, random_: random.Random | None = None) -> None:
        self._random = random_ or random.Random()
        self._failures = 0

    @property
    def failures(self) -> int:
        """Attempts that have failed since the last that did not."""
        return self._failures

    def succeed(self) -> None:
        """Begin anew."""
        self._failures = 0

    def fail(self, least: float | None = None) -> float:
        """Return the seconds to wait after one more failure.

        Args:
            least: what the API server asks for; None where it does not say.
        """
        longest = min(FIRST_PAUSE_SECONDS * 2.0**self._failures, LONGEST_PAUSE_SECONDS)
        self._failures += 1
        return max(longest * self._random.uniform(0.5, 1.0), least or 0.0)


async def watch(
    api: ApiServer,
    *,
    pauses: Pauses,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[News]:
    """Yield what there is and what becomes of it; never ends, never raises `CallFailed`."""
    version: str | None = None
    told = ""
    while True:
        try:
            if version is None:
                resources, version = await api.list_runs()
                yield Listed(tuple(resources))
            async with aclosing(api.watch_runs(version)) as events:
                async for kind, resource in events:
                    pauses.succeed()
                    told = _is_back(told)
                    version = resource["metadata"]["resourceVersion"]
                    if kind == "DELETED":
                        yield Gone(resource)
                    elif kind != "BOOKMARK":
                        yield Changed(resource)
            # Nothing went wrong, but a server that hangs up at once is not to be rushed either.
            pauses.succeed()
            told = _is_back(told)
            await sleep(pauses.fail())
        except CallFailed as error:
            if error.status == HTTPStatus.GONE:
                version = None
            elif pauses.failures and str(error) != told:  # a single hang-up is everyday life
                told = str(error)
                log.warning("cluster.away", why=told, help=_HELP.get(error.status or 0))
            await sleep(pauses.fail(error.retry_after))


def _is_back(told: str) -> str:
    """Tell that an outage is over that was told of before; return that nothing is wrong now."""
    if told:
        log.info("cluster.back")
    return ""
