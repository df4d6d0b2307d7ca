"""The gRPC server: services, health and reflection on one address, behind one door."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from rheostat.api.checkpoints import CheckpointsApi
from rheostat.api.guarding import Guard
from rheostat.api.health import Health
from rheostat.api.learning_rates import LearningRatesApi
from rheostat.api.policies import PoliciesApi
from rheostat.api.runs import RunsApi
from rheostat.door.authenticating import Door, open_door
from rheostat.door.limits import Limits, Pace
from rheostat.door.reloading import Reloaded
from rheostat.door.tls import Certificates
from rheostat.errors import FailedPrecondition
from rheostat.runs.service import RunService
from rheostat.v1 import checkpoints_pb2, learning_rates_pb2, policies_pb2, runs_pb2
from rheostat.v1.checkpoints_pb2_grpc import add_CheckpointsServicer_to_server
from rheostat.v1.learning_rates_pb2_grpc import add_LearningRatesServicer_to_server
from rheostat.v1.policies_pb2_grpc import add_PoliciesServicer_to_server
from rheostat.v1.runs_pb2_grpc import add_RunsServicer_to_server

SERVICES = (
    runs_pb2.DESCRIPTOR.services_by_name["Runs"].full_name,
    learning_rates_pb2.DESCRIPTOR.services_by_name["LearningRates"].full_name,
    policies_pb2.DESCRIPTOR.services_by_name["Policies"].full_name,
    checkpoints_pb2.DESCRIPTOR.services_by_name["Checkpoints"].full_name,
)
_OPTIONS = (
    ("grpc.so_reuseport", 0),  # a busy port is an error, not a second daemon on it
    ("grpc.server_handshake_timeout_ms", 10_000),  # who connects and says nothing is hung up on
    ("grpc.max_connection_idle_ms", 300_000),  # a client that comes back connects anew
    ("grpc.max_concurrent_streams", 256),  # of one connection: more wait in line at the client
    ("grpc.max_metadata_size", 16 * 2**10),
    ("grpc.absolute_max_metadata_size", 16 * 2**10),
    ("grpc.http2.bdp_probe", 0),  # would let each call send megabytes that nobody has asked to read
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
)


class ApiServer:
    """Serves a `RunService` over gRPC.

    Args:
        service: what is served.
        address: `host:port` or `unix:path`; port 0 takes a free one.
        door: who may call; by default everybody, under the name they give.
        limits: how much callers may ask for; None is what is usual.
        pace: counts requests and streams; by default those of gRPC alone.
        reflects: whether callers may ask which services and messages there are.
        certificates: for TLS, taken anew for each connection; without them there is none.
    """

    def __init__(
        self,
        service: RunService,
        *,
        address: str,
        door: Door | None = None,
        limits: Limits | None = None,
        pace: Pace | None = None,
        reflects: bool = True,
        certificates: Reloaded[Certificates] | None = None,
    ) -> None:
        self._address = address
        self._certificates = certificates
        door = door or open_door()
        limits = limits or Limits()
        self._server = grpc.aio.server(
            options=(*_OPTIONS, ("grpc.max_receive_message_length", limits.message_bytes)),
            interceptors=[Guard(door, pace or Pace(limits))],
            maximum_concurrent_rpcs=limits.concurrent_calls,
        )
        self._health = Health(("", *SERVICES))
        add_RunsServicer_to_server(RunsApi(service, door), self._server)
        add_LearningRatesServicer_to_server(LearningRatesApi(service, door), self._server)
        add_PoliciesServicer_to_server(PoliciesApi(service, door), self._server)
        add_CheckpointsServicer_to_server(CheckpointsApi(service, door), self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if reflects:
            names = (*SERVICES, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name)
            reflection.enable_server_reflection((*names, reflection.SERVICE_NAME), self._server)

    async def start(self) -> str:
        """Begin to serve and return the address, with the real port where 0 was asked for.

        Raises:
            FailedPrecondition: if the address cannot be had.
        """
        try:
            port = self._add_port()
        except RuntimeError:
            port = 0
        if port == 0:
            raise FailedPrecondition(
                f"cannot listen on {self._address}: it is in use or not an address of this "
                "machine; choose another with --address (port 0 takes a free one)"
            )
        await self._server.start()
        for name in ("", *SERVICES):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        if self._address.startswith("unix:"):
            return self._address
        return f"{self._address.rpartition(':')[0]}:{port}"

    async def stop(self, seconds: float) -> None:
        """Say that it is ending, let calls finish for some seconds, then cut them off."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(seconds)

    def _add_port(self) -> int:
        if self._certificates is None:
            return self._server.add_insecure_port(self._address)
        return self._server.add_secure_port(self._address, _credentials(self._certificates))


def _credentials(certificates: Reloaded[Certificates]) -> grpc.ServerCredentials:
    """Return credentials that follow the files; connections keep what they began with."""
    used = certificates.current()
    asks_clients = used.client_ca is not None

    def changed() -> grpc.ServerCertificateConfiguration | None:
        """Return what a new connection needs, None where it is what the one before it needed."""
        nonlocal used
        current = certificates.current()
        if current is used:
            return None
        used = current
        return _configuration(current)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(used),
        changed,  # type: ignore[arg-type]  # the stub does not know None
        asks_clients,
    )


def _configuration(certificates: Certificates) -> grpc.ServerCertificateConfiguration:
    pair = (certificates.key, certificates.chain)
    return grpc.ssl_server_certificate_configuration([pair], certificates.client_ca)
