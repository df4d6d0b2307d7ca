"""The typed Python client: every RPC as a method that takes and returns records.

`Client` blocks, `AsyncClient` awaits; both speak the same requests. Neither shows its caller a
protobuf message, a gRPC error or a stub. What the command line and remote policies are built on.
"""

from rheostat.client.asynchronous import AsyncClient
from rheostat.client.credentials import Credentials
from rheostat.client.synchronous import Client

__all__ = ["AsyncClient", "Client", "Credentials"]
