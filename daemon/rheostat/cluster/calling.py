"""The calls that a daemon makes to the API server, and what can go wrong with them.

The official client's asyncio half carries them. Answers are taken as the API server gave them: its
generated classes know no custom resources, and would refuse what a newer server adds.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any

import aiohttp

from rheostat.cluster.names import GROUP, MANAGER, PLURAL, VERSION

CALL_SECONDS = 15.0
"""What one call may take."""
WATCH_SECONDS = 240
"""After which the API server ends a watch, so that a connection that died unseen is found out."""
_GRACE_SECONDS = 30.0
_MERGE_PATCH = "application/merge-patch+json"

Document = dict[str, Any]
Call = Callable[..., Awaitable[aiohttp.ClientResponse]]


class CallFailed(Exception):
    """The API server refused a call, or could not be reached."""

    def __init__(
        self, message: str, *, status: int | None = None, retry_after: float | None = None
    ) -> None:
        self.status = status
        """The HTTP status; None where there was no answer."""
        self.retry_after = retry_after
        """Seconds that the API server asks to wait; None where it does not say."""
        super().__init__(message)


class ApiServer:
    """Speaks to the API server about the TrainingRuns and the Events of one namespace.

    Every method raises `CallFailed` and nothing else.
    """

    def __init__(self, client: Any, namespace: str) -> None:
        """Prepare; nothing is called yet.

        Args:
            client: a `kubernetes.aio.client.ApiClient`.
            namespace: the only one that is asked about.
        """
        from kubernetes.aio.client import CoreV1Api, CustomObjectsApi

        self.namespace = namespace
        self._client = client
        self._resources = CustomObjectsApi(client)
        self._core = CoreV1Api(client)

    async def close(self) -> None:
        """Hang up; a watch ends."""
        await self._client.close()

    async def list_runs(self) -> tuple[list[Document], str]:
        """Return all resources, and the version that a watch can go on from."""
        call = self._resources.list_namespaced_custom_object_without_preload_content
        answer = await ask(call, **self._all_runs)
        return answer["items"], answer["metadata"]["resourceVersion"]

    async def watch_runs(self, version: str) -> AsyncGenerator[tuple[str, Document]]:
        """Yield what happens to resources after a version, until the API server ends the watch.

        Yields:
            The type (ADDED, MODIFIED, DELETED or BOOKMARK) and the resource.
        """
        call = self._resources.list_namespaced_custom_object_without_preload_content
        try:
            response = await call(
                **self._all_runs,
                watch=True,
                allow_watch_bookmarks=True,
                resource_version=version,
                timeout_seconds=WATCH_SECONDS,
                _request_timeout=WATCH_SECONDS + _GRACE_SECONDS,
            )
            async with response:
                await _check(response)
                while line := await response.content.readline():
                    yield _news(line)
        except _FAILURES as error:
            raise _unreachable(error) from error

    async def patch_run(self, name: str, patch: Mapping[str, Any]) -> Document:
        """Merge a patch into a resource, but not into its status, and return the result."""
        call = self._resources.patch_namespaced_custom_object_without_preload_content
        return await ask(call, **self._run(name), body=dict(patch), **_patching())

    async def patch_status(self, name: str, patch: Mapping[str, Any]) -> Document:
        """Merge a patch into a resource's status, and into nothing else, and return the result."""
        call = self._resources.patch_namespaced_custom_object_status_without_preload_content
        return await ask(call, **self._run(name), body=dict(patch), **_patching())

    async def create_event(self, event: Document) -> None:
        """Keep a new Event."""
        call = self._core.create_namespaced_event_without_preload_content
        await ask(call, namespace=self.namespace, body=event, field_manager=MANAGER)

    async def patch_event(self, name: str, patch: Mapping[str, Any]) -> None:
        """Merge a patch into an Event."""
        call = self._core.patch_namespaced_event_without_preload_content
        await ask(call, name=name, namespace=self.namespace, body=dict(patch), **_patching())

    @property
    def _all_runs(self) -> dict[str, str]:
        return {
            "group": GROUP,
            "version": VERSION,
            "namespace": self.namespace,
            "plural": PLURAL,
        }

    def _run(self, name: str) -> dict[str, str]:
        return {**self._all_runs, "name": name}


async def ask(call: Call, **arguments: Any) -> Document:
    """Make a call of the official client, and return the answer as the API server gave it.

    Raises:
        CallFailed: if the API server refuses it, or cannot be reached.
    """
    try:
        response = await call(**arguments, _request_timeout=CALL_SECONDS)
        async with response:
            await _check(response)
            answer: Document = json.loads(await response.read())
            return answer
    except _FAILURES as error:
        raise _unreachable(error) from error


_FAILURES = (aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError)
"""No connection, no answer in time, or one that is not JSON."""


def _patching() -> dict[str, str]:
    return {"field_manager": MANAGER, "_content_type": _MERGE_PATCH}


async def _check(response: aiohttp.ClientResponse) -> None:
    if response.status < 300:
        return
    text = (await response.read()).decode(errors="replace")
    try:
        message = str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        message = text[:200] or str(response.reason)
    raise CallFailed(
        f"the API server answers {response.status}: {message}",
        status=response.status,
        retry_after=_seconds(response.headers.get("Retry-After", "")),
    )


def _news(line: bytes) -> tuple[str, Document]:
    event = json.loads(line)
    if event["type"] == "ERROR":
        status = event["object"]
        raise CallFailed(
            f"the API server ends the watch: {status.get('message', '')}",
            status=status.get("code"),
        )
    return event["type"], event["object"]


def _seconds(header: str) -> float | None:
    return float(header) if header.isdecimal() else None


def _unreachable(error: BaseException) -> CallFailed:
    return CallFailed(f"the API server cannot be reached: {error or type(error).__name__}")
