"""The server of the page: its files for everybody, its calls for those whom the door knows."""

import ssl
from collections.abc import Awaitable, Callable, Iterator

from aiohttp import web
from aiohttp.typedefs import Handler

from rheostat.door.addresses import is_loopback
from rheostat.door.authenticating import Door, open_door
from rheostat.door.limits import Limits, Pace
from rheostat.errors import NotFound
from rheostat.page.answering import refusal
from rheostat.page.files import read_files
from rheostat.page.gate import Answerer, Gate
from rheostat.page.live import Live
from rheostat.page.reading import Reads
from rheostat.page.sketches import Sketches
from rheostat.page.verbs import Verbs
from rheostat.runs.service import RunService
from rheostat.web.listening import Listener

HEADERS = {
    # Nothing but our own files, no script or style in the markup, no frame around it.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types lit-html"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Of every answer."""


class PageServer:
    """Serves the page of a `RunService`."""

    def __init__(
        self,
        service: RunService,
        *,
        address: str,
        door: Door | None = None,
        asks: bool = False,
        limits: Limits | None = None,
        pace: Pace | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Prepare; nothing listens before `start`.

        Args:
            service: what is shown and steered.
            address: `host:port`; port 0 takes a free one.
            door: who may call; by default everybody, under the name they give.
            asks: whether callers must prove who they are.
            limits: how much callers may ask for; None is what is usual.
            pace: counts requests and streams; by default those of the page alone.
            tls: for HTTPS; None for plain HTTP.
        """
        limits = limits or Limits()
        gate = Gate(
            door or open_door(),
            limits,
            pace or Pace(limits),
            is_open=not asks and is_loopback(address),
        )
        app = web.Application(client_max_size=limits.message_bytes, middlewares=[_elsewhere])
        app.on_response_prepare.append(_guard)
        for path, file in read_files().items():
            app.router.add_get(path, _serving(file.answer))
        for method, path, rpc, answerer in _calls(service):
            app.router.add_route(method, f"/api/{path}", gate.lets(rpc, answerer))
        self._listener = Listener(app, name="page", address=address, tls=tls)

    async def start(self) -> str:
        """Listen, and return the `host:port` that was bound.

        Raises:
            RheostatError: The address is malformed, taken or not ours to bind.
        """
        return await self._listener.start()

    async def stop(self) -> None:
        """Stop listening; a call under way has two seconds to end."""
        await self._listener.stop()


def _calls(service: RunService) -> Iterator[tuple[str, str, str | None, Answerer]]:
    """Yield the calls: method, path, the RPC that does the same, and what answers."""
    sketches = Sketches(service)
    reads, verbs, live = Reads(service, sketches), Verbs(service), Live(service, sketches)
    run = "runs/{run}"
    yield "GET", "me", None, reads.me
    yield "GET", "runs", "Runs/ListRuns", reads.runs
    yield "GET", run, "Runs/GetRun", reads.run
    yield "GET", f"{run}/live", "Runs/WatchRun", live.stream
    yield "GET", f"{run}/steps", "Runs/ExportRun", reads.steps
    yield "GET", f"{run}/decisions", "LearningRates/ListDecisions", reads.decisions
    yield "GET", f"{run}/explanation", "LearningRates/ExplainLearningRates", reads.explanation
    yield "GET", f"{run}/checkpoints", "Checkpoints/ListCheckpoints", reads.checkpoints
    yield "GET", f"{run}/held", "LearningRates/ListHeldChanges", reads.held
    yield "POST", f"{run}/changes", "LearningRates/ChangeLearningRate", verbs.change
    yield "POST", f"{run}/held/{{request_id}}", "LearningRates/ApproveChange", verbs.approve
    yield "POST", f"{run}/pause", "Runs/PauseRun", verbs.pause
    yield "POST", f"{run}/resume", "Runs/ResumeRun", verbs.resume
    yield "POST", f"{run}/rollback", "Checkpoints/RollbackRun", verbs.roll_back


def _serving(
    answer: Callable[[web.Request], web.Response],
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def serve(request: web.Request) -> web.Response:
        return answer(request)

    return serve


@web.middleware
async def _elsewhere(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Say in our own words that there is nothing at a path."""
    try:
        return await handler(request)
    except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
        return refusal(NotFound(f"the page has nothing at {request.method} {request.path}"))


async def _guard(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
