"""The daemon's hand in the cluster: one caretaker for each TrainingRun of its namespace."""

import asyncio
import time
from contextlib import suppress

import structlog

from rheostat.cluster.calling import ApiServer, Document
from rheostat.cluster.caretaker import Caretaker
from rheostat.cluster.connecting import connect_daemon
from rheostat.cluster.resources import TrainingRun
from rheostat.cluster.watching import Changed, Gone, Listed, News, Pauses, watch
from rheostat.runs.service import RunService

FAREWELL_SECONDS = 2.0
"""Time that the last reports may take when the daemon ends."""

log = structlog.get_logger()


class Controller:
    """Trains the TrainingRuns of a namespace that are for this daemon.

    Nothing waits for it: an API server that is slow or away delays only what it is told.
    """

    def __init__(self, service: RunService, api: ApiServer, *, daemon: str) -> None:
        self._service = service
        self._api = api
        self._daemon = daemon
        self._caretakers: dict[str, Caretaker] = {}
        self._watcher: asyncio.Task[None] | None = None

    @classmethod
    async def connect(
        cls, service: RunService, *, namespace: str | None, daemon: str
    ) -> "Controller":
        """Find the cluster, from within or by the kubeconfig; nothing is asked of it yet.

        Args:
            service: who trains.
            namespace: whose resources are trained; None is the pod's own, or the kubeconfig's.
            daemon: name of this daemon, which no other in the namespace has.

        Raises:
            FailedPrecondition: if there is no cluster to be found.
        """
        client, found = await connect_daemon(namespace)
        return cls(service, ApiServer(client, found), daemon=daemon)

    def start(self) -> None:
        """Begin to watch."""
        log.info("cluster.watching", namespace=self._api.namespace, daemon=self._daemon)
        self._watcher = asyncio.create_task(self._watch(), name="watch trainingruns")

    async def stop(self) -> None:
        """End, with a last report on every run that fits into two seconds."""
        if self._watcher is not None:
            self._watcher.cancel()
            with suppress(asyncio.CancelledError):
                await self._watcher
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await asyncio.gather(*(one.conclude() for one in self._caretakers.values()))
        await self._api.close()

    async def _watch(self) -> None:
        async for news in watch(self._api, pauses=Pauses()):
            await self._take(news)

    async def _take(self, news: News) -> None:
        match news:
            case Listed(resources):
                there = {resource["metadata"]["uid"] for resource in resources}
                for uid in self._caretakers.keys() - there:
                    await self._forget(uid)
                for resource in resources:
                    self._see(resource)
            case Changed(resource):
                self._see(resource)
            case Gone(resource):
                await self._forget(resource["metadata"]["uid"])

    def _see(self, document: Document) -> None:
        try:
            resource = TrainingRun.read(document)
        except (KeyError, TypeError, ValueError):
            # One that makes no sense must not hide those that come after it.
            log.exception("cluster.unreadable", resource=document["metadata"]["name"])
            return
        caretaker = self._caretakers.get(resource.uid)
        if caretaker is not None:
            caretaker.see(resource)
            return
        self._caretakers[resource.uid] = Caretaker(
            resource,
            service=self._service,
            api=self._api,
            daemon=self._daemon,
            clock=time.time,
        )

    async def _forget(self, uid: str) -> None:
        caretaker = self._caretakers.pop(uid, None)
        if caretaker is not None:
            await caretaker.dismiss()
