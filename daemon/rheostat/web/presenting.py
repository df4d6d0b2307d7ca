"""What an HTTP request brings along for the door to judge."""

import ssl
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from rheostat.door.identity import CertificateNames, Presented, bearer_token

PRINCIPAL_HEADER = "X-Rheostat-Principal"
"""In which callers name themselves, percent-encoded where it is not ASCII."""
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="rheostat"'}
"""What comes with a 401."""


def presented(request: web.Request) -> Presented:
    """Return what a request brings along."""
    return Presented(
        peer=request.remote or "",
        token=bearer_token(request.headers.get("Authorization", "")),
        certificate=_certificate(request),
        claim=unquote(request.headers.get(PRINCIPAL_HEADER, "")),
    )


def _certificate(request: web.Request) -> CertificateNames | None:
    """Return the names in the client's certificate, which TLS has verified."""
    connection = request.get_extra_info("ssl_object")
    # Sequences of pairs, in tuples of different depth; the types of the standard library lose that.
    found: Any = connection.getpeercert() if isinstance(connection, ssl.SSLObject) else None
    if not found:
        return None
    alternatives = found.get("subjectAltName", ())
    uris, dns, emails = (
        tuple(name for kind, name in alternatives if kind == wanted)
        for wanted in ("URI", "DNS", "email")
    )
    subject = [pair for part in found["subject"] for pair in part]
    common_name = next((value for key, value in subject if key == "commonName"), "")
    return CertificateNames(uris=uris, dns=dns, emails=emails, common_name=common_name)
