"""The composition root: one daemon put together from its rooms, from start to drain."""

import asyncio
import resource
import signal
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from importlib.metadata import version

import structlog

from rheostat.api.server import ApiServer
from rheostat.cluster.controller import Controller
from rheostat.cluster.reviewing import Reviews
from rheostat.door.authenticating import ClaimedName, Door, VerifiedCertificate
from rheostat.door.binding import RolesFile
from rheostat.door.identity import Authenticator, Authorizer
from rheostat.door.limits import Pace
from rheostat.door.tls import PresentContext
from rheostat.door.tokens import TokenFile
from rheostat.locating import Endpoints, exclusive, publish
from rheostat.logs import configure_logs
from rheostat.overhearing import overheard
from rheostat.page.server import PageServer
from rheostat.provisioning import create_runs
from rheostat.runs.approving import Rule, Terms
from rheostat.runs.restarting import RestartPolicy
from rheostat.runs.service import RunService
from rheostat.runs.store import Store
from rheostat.runs.supervisor import Supervisor
from rheostat.settings import Settings
from rheostat.telemetry.health import HealthServer
from rheostat.telemetry.server import TelemetryServer

_STOP_SECONDS = 2.0
_INSECURE = "other machines can call, without TLS or without being asked who they are"
_NEEDLESS = "no address takes --insecure now: leave it out, so that none comes to without notice"

log = structlog.get_logger()


def serve(settings: Settings) -> None:
    """Run a daemon until SIGTERM or SIGINT, then drain it.

    Raises:
        RheostatError: if it cannot start: a busy port, a state directory in use, settings that
            would leave it open to strangers.
    """
    _allow_connections()
    # Only where there is TLS has gRPC something to say that its callers' owners must hear.
    with overheard() if settings.tls is not None else nullcontext() as output:
        configure_logs(settings.log_format, settings.log_level, output)
        asyncio.run(_serve(settings))


@asynccontextmanager
async def daemon(settings: Settings) -> AsyncIterator[Endpoints]:
    """Run a daemon on the present event loop for the life of the block; leaving it drains.

    Raises:
        RheostatError: if it cannot start.
    """
    settings.check()
    state_dir = settings.state_dir
    certificates = settings.tls.watched() if settings.tls is not None else None
    with exclusive(state_dir):
        roles = RolesFile(settings.roles) if settings.roles is not None else None
        service = RunService(
            Store(state_dir / "rheostat.db"),
            Supervisor(state_dir, settings.rendezvous),
            max_concurrent_runs=settings.max_concurrent_runs,
            clock=time.time,
            admission=settings.admission,
            approvals=_approvals(roles) if roles is not None else None,
            restarts=RestartPolicy(max_restarts=settings.max_restarts),
            patience=settings.trainer_patience,
        )
        controller = await _controller(service, settings)
        reviews = await _reviews(settings)
        door = _door(settings, roles, reviews)
        is_ready = False
        # What one caller asks for counts once, by whichever port it comes.
        pace = Pace(settings.limits)
        tls = PresentContext(certificates) if certificates is not None else None
        api = ApiServer(
            service,
            address=settings.address,
            door=door,
            limits=settings.limits,
            pace=pace,
            reflects=settings.reflection or not settings.asks,
            certificates=certificates,
        )
        telemetry = TelemetryServer(
            service,
            address=settings.metrics_address,
            is_ready=lambda: is_ready,
            version=version("rheostat"),
            is_insecure=settings.insecure,
            door=door,
            limits=settings.limits,
            tls=tls,
        )
        page = _page(service, settings, door, pace, tls)
        async with _health(settings, lambda: is_ready):
            await service.start(continue_queue=settings.continue_queue)
            try:
                metrics_address = await telemetry.start()
                page_address = await page.start() if page is not None else None
                address = await api.start()
                endpoints = Endpoints(
                    address=address, metrics_address=metrics_address, page_address=page_address
                )
                if settings.specs is not None:
                    await create_runs(service, settings.specs)
                publish(state_dir, endpoints)
                is_ready = True
                if controller is not None:
                    controller.start()
                yield endpoints
            finally:
                is_ready = False
                # Runs end first, so that watchers see how.
                await service.drain(settings.drain_seconds)
                if controller is not None:
                    await controller.stop()
                await api.stop(_STOP_SECONDS)
                await telemetry.stop()
                if page is not None:
                    await page.stop()
                if reviews is not None:
                    await reviews.close()


async def _serve(settings: Settings) -> None:
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, over.set)
    async with daemon(settings) as endpoints:
        scheme = "http" if settings.tls is None else "https"
        log.info(
            "daemon.ready",
            address=endpoints.address,
            metrics=f"{scheme}://{endpoints.metrics_address}/metrics",
            **({"page": f"{scheme}://{endpoints.page_address}/"} if endpoints.page_address else {}),
            state_dir=str(settings.state_dir),
        )
        if settings.insecure:
            exposed = [getattr(settings, field) for field in settings.exposed]
            text = _INSECURE if exposed else _NEEDLESS
            log.warning("daemon.insecure", addresses=exposed, text=text)
        await over.wait()
        log.info("daemon.draining", seconds=settings.drain_seconds)
    log.info("daemon.stopped")


def _allow_connections() -> None:
    """Allow as many open files as this process may: the usual 1024 are a thousand idle callers."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _controller(service: RunService, settings: Settings) -> Controller | None:
    """Return the daemon's hand in a Kubernetes cluster, where the settings want one."""
    if not settings.kubernetes:
        return None
    name = settings.daemon_name or socket.gethostname()
    return await Controller.connect(service, namespace=settings.kube_namespace, daemon=name)


def _approvals(roles: RolesFile) -> Rule:
    """Return which runs take a second principal, as the file of the moment says."""

    def terms_of(run: str) -> Terms | None:
        found = roles.approval_of(run)
        if found is None:
            return None
        return Terms(ratio=found.ratio, expires_seconds=found.expires_seconds)

    return terms_of


async def _reviews(settings: Settings) -> Reviews | None:
    """Return who asks Kubernetes about callers, where the settings want that."""
    if not settings.kube_auth:
        return None
    return await Reviews.connect(namespace=settings.kube_namespace, audience=settings.kube_audience)


def _door(settings: Settings, roles: RolesFile | None, reviews: Reviews | None) -> Door:
    """Return who is asked about callers: where nobody proves anything, callers name themselves."""
    authenticators: list[Authenticator] = []
    if settings.tokens is not None:
        authenticators.append(TokenFile(settings.tokens))
    if reviews is not None:
        authenticators.append(reviews)
    if settings.tls_client_ca is not None:
        authenticators.append(VerifiedCertificate())
    authorizers: list[Authorizer] = []
    if roles is not None:
        authorizers.append(roles)
    if reviews is not None:
        authorizers.append(reviews)
    return Door(authenticators or [ClaimedName()], authorizers)


def _page(
    service: RunService,
    settings: Settings,
    door: Door,
    pace: Pace,
    tls: ssl.SSLContext | None,
) -> PageServer | None:
    """Return the page, where the settings name an address for it."""
    if settings.page_address is None:
        return None
    return PageServer(
        service,
        address=settings.page_address,
        door=door,
        asks=settings.asks,
        limits=settings.limits,
        pace=pace,
        tls=tls,
    )


@asynccontextmanager
async def _health(settings: Settings, is_ready: Callable[[], bool]) -> AsyncIterator[None]:
    """Answer probes for the life of the block, where the settings name an address for that."""
    if settings.health_address is None:
        yield
        return
    server = HealthServer(
        address=settings.health_address, is_ready=is_ready, limits=settings.limits
    )
    log.info("health.ready", address=await server.start())
    try:
        yield
    finally:
        await server.stop()
