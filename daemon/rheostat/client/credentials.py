"""What a client presents, and whom it trusts."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import grpc

from rheostat.client.calls import CHANNEL_OPTIONS
from rheostat.door.addresses import is_loopback
from rheostat.errors import InvalidRequest, Violation


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a client presents to a daemon, and by what it knows the daemon.

    TLS is spoken where a CA or a certificate is given, else none.
    """

    ca: Path | str | None = None
    """PEM file of the CAs one of which the daemon's certificate must come from; None for those that
    gRPC trusts."""
    cert: Path | str | None = None
    """PEM file of the client's own certificate chain, for a daemon that asks for one."""
    key: Path | str | None = None
    """PEM file of its private key."""
    server_name: str = ""
    """Name to look for in the daemon's certificate, where it is called by another: a tunnel."""
    token: str = field(default="", repr=False)
    """Bearer token; empty for none."""
    insecure: bool = False
    """Whether the token may travel to another machine without TLS."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Return what the variables of the command line say: RHEOSTAT_CA, RHEOSTAT_TOKEN and so on.

        Raises:
            InvalidRequest: if there is no token in the file of RHEOSTAT_TOKEN_FILE.
        """
        file = environment.get("RHEOSTAT_TOKEN_FILE")
        return cls(
            ca=environment.get("RHEOSTAT_CA") or None,
            cert=environment.get("RHEOSTAT_CERT") or None,
            key=environment.get("RHEOSTAT_KEY") or None,
            server_name=environment.get("RHEOSTAT_SERVER_NAME", ""),
            token=read_token(file) if file else environment.get("RHEOSTAT_TOKEN", "").strip(),
            insecure=environment.get("RHEOSTAT_INSECURE", "").lower() in ("1", "true", "yes"),
        )

    @property
    def speaks_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.ca is not None or self.cert is not None

    def metadata(self, address: str) -> tuple[tuple[str, str], ...]:
        """Return what goes along with every call to an address.

        Raises:
            InvalidRequest: if the token is malformed, or would be shown to a network.
        """
        if not self.token:
            return ()
        if not (self.token.isascii() and self.token.isprintable() and " " not in self.token):
            expected = "what `rheostat token` prints: printable ASCII without spaces"
            raise InvalidRequest([Violation("token", "", expected)])
        if not (self.speaks_tls or self.insecure or is_loopback(address)):
            expected = (
                "an address on this machine, since the token would travel for all to read; give "
                "the daemon's --ca, or let it travel so with --insecure before the verb"
            )
            raise InvalidRequest([Violation("address", address, expected)])
        return (("authorization", f"Bearer {self.token}"),)

    def tls(self) -> grpc.ChannelCredentials | None:
        """Return the credentials of a channel; None where it is plaintext.

        Raises:
            InvalidRequest: if a file cannot be read, or certificate and key are not both given.
        """
        for field_, one, other in (("cert", self.cert, self.key), ("key", self.key, self.cert)):
            if one is not None and other is None:
                expected = "certificate and private key together"
                raise InvalidRequest([Violation(field_, str(one), expected)])
        if not self.speaks_tls:
            return None
        return grpc.ssl_channel_credentials(
            _read("ca", self.ca), _read("key", self.key), _read("cert", self.cert)
        )

    def options(self) -> tuple[tuple[str, Any], ...]:
        """Return the options of a channel."""
        named = (("grpc.ssl_target_name_override", self.server_name),) if self.server_name else ()
        return (*CHANNEL_OPTIONS, *named)


def open_channel(address: str, credentials: Credentials) -> grpc.Channel:
    """Return a channel that blocks."""
    tls, options = credentials.tls(), credentials.options()
    if tls is None:
        return grpc.insecure_channel(address, options=options)
    return grpc.secure_channel(address, tls, options=options)


def open_async_channel(address: str, credentials: Credentials) -> grpc.aio.Channel:
    """Return a channel for asyncio."""
    tls, options = credentials.tls(), credentials.options()
    if tls is None:
        return grpc.aio.insecure_channel(address, options=options)
    return grpc.aio.secure_channel(address, tls, options=options)


def read_token(path: Path | str) -> str:
    """Return the token that a file holds.

    Raises:
        InvalidRequest: if there is none in it.
    """
    token = (_read("token_file", path) or b"").decode(errors="replace").strip()
    if not token:
        raise InvalidRequest([Violation("token_file", str(path), "a file that holds a token")])
    return token


def _read(field: str, path: Path | str | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        expected = f"a readable file ({error.strerror})"
        raise InvalidRequest([Violation(field, str(path), expected)]) from error
