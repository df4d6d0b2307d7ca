"""The daemon's side of TLS: its certificate, and whose client certificates it trusts."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import structlog

from rheostat.door.reloading import Reloaded
from rheostat.errors import InvalidRequest, Violation

_SUITES = "ECDHE+AESGCM:ECDHE+CHACHA20"
_PRESENTED = {
    "CERTIFICATE_VERIFY_FAILED": "a client certificate",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "no client certificate",
}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """PEM files; whoever renews them may simply replace them."""

    cert: Path
    """The daemon's certificate, followed by those between it and its CA."""
    key: Path
    """Its private key, without a password."""
    client_ca: Path | None = None
    """CAs of clients. Where given, every client must have a certificate from one of them."""

    def load(self) -> "Certificates":
        """Read the files.

        Raises:
            InvalidRequest: if one is missing or none of its kind, or key and certificate differ.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # What gRPC's own library takes as well: nothing without forward secrecy.
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_SUITES)
        context.sslobject_class = LoggedHandshake
        try:
            # An empty password is a wrong one; without any, OpenSSL would ask at the terminal.
            context.load_cert_chain(self.cert, self.key, password="")
            chain, key = self.cert.read_bytes(), self.key.read_bytes()
        except (OSError, ssl.SSLError) as error:
            expected = f"a certificate in PEM to which {self.key} is the key, unencrypted ({error})"
            raise InvalidRequest([Violation("tls_cert", str(self.cert), expected)]) from error
        client_ca = self._trust_clients(context)
        return Certificates(chain=chain, key=key, client_ca=client_ca, context=context)

    def watched(self) -> Reloaded["Certificates"]:
        """Return the certificates of the moment, whatever happens to the files.

        Raises:
            InvalidRequest: if they make no sense now.
        """
        files = [self.cert, self.key, *([self.client_ca] if self.client_ca else [])]
        return Reloaded(files, self.load)

    def _trust_clients(self, context: ssl.SSLContext) -> bytes | None:
        """Have a context demand client certificates; return the CAs they must come from."""
        if self.client_ca is None:
            return None
        try:
            context.load_verify_locations(self.client_ca)
            authorities = self.client_ca.read_bytes()
        except (OSError, ssl.SSLError) as error:
            expected = f"the certificates of CAs, in PEM ({error})"
            raise InvalidRequest([Violation("tls_client_ca", str(self.client_ca), expected)]) from (
                error
            )
        context.verify_mode = ssl.CERT_REQUIRED
        return authorities


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """What the files held at one moment."""

    chain: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None
    context: ssl.SSLContext
    """The same, for HTTP."""


class LoggedHandshake(ssl.SSLObject):
    """A connection that says in the log why a client was not let in; the client is told nothing."""

    def do_handshake(self) -> None:
        """Shake hands, as far as what has arrived allows."""
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            why = getattr(error, "verify_message", "") or error.reason or str(error)
            log_refusal("HTTPS", error.reason or "", why)
            raise


def log_refusal(over: str, reason: str, why: str) -> None:
    """Say in the log that a handshake failed, what was wrong with, and why.

    Args:
        over: the protocol that was to be spoken.
        reason: what OpenSSL and its kin call it.
        why: the same in words, where there are any.
    """
    presented = _PRESENTED.get(reason, "TLS")
    log.warning("handshake.refused", over=over, presented=presented, why=why)


class PresentContext(ssl.SSLContext):
    """A context for asyncio that shakes hands with the certificates of the moment.

    Reloading one context in place would do for the certificate, but never forget an old client CA.
    """

    _certificates: Reloaded[Certificates]

    def __new__(cls, certificates: Reloaded[Certificates]) -> Self:
        """Make a context that has the protocol of a server and nothing else of its own."""
        context = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        context._certificates = certificates
        return context

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:
        """Begin one connection, which keeps its certificates to its end."""
        return self._certificates.current().context.wrap_bio(*arguments, **options)
