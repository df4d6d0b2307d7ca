"""The health service, whole: the library that it comes from leaves out `List`."""

from collections.abc import Sequence
from typing import Any

from grpc_health.v1 import health, health_pb2

from rheostat.api.handling import Context


class Health(health.aio.HealthServicer):
    """Tells whether services answer.

    Args:
        services: those there are; the empty name stands for the daemon as a whole.
    """

    def __init__(self, services: Sequence[str]) -> None:
        super().__init__()
        self._services = services

    async def List(self, request: Any, context: Context) -> Any:
        response = health_pb2.HealthListResponse()  # type: ignore[attr-defined]  # newer than its stub
        for name in self._services:
            check = await self.Check(health_pb2.HealthCheckRequest(service=name), context)
            response.statuses[name].CopyFrom(check)
        return response
