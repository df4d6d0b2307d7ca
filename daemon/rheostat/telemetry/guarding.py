"""The middleware before every page: who is asking, or 401; and whether they may, or 403."""

import ssl
from collections.abc import Collection
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from rheostat.door.authenticating import Door
from rheostat.door.identity import CertificateNames, Presented, bearer_token
from rheostat.door.roles import Reach, Right, Role
from rheostat.errors import PermissionDenied, Unauthenticated

_VIEW_ALL = Right(Role.VIEWER, Reach.ALL)


def guard(door: Door, *, but: Collection[str]) -> Middleware:
    """Return what lets in who may view all runs; some paths are for everybody."""

    @web.middleware
    async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in but:
            try:
                identity = await door.identify(_presented(request), to=request.path)
                await door.permit(identity, _VIEW_ALL, to=request.path)
            except Unauthenticated as error:
                challenge = {"WWW-Authenticate": 'Bearer realm="rheostat"'}
                raise web.HTTPUnauthorized(text=f"{error}\n", headers=challenge) from error
            except PermissionDenied as error:
                raise web.HTTPForbidden(text=f"{error}\n") from error
        return await handler(request)

    return admit


def _presented(request: web.Request) -> Presented:
    return Presented(
        peer=request.remote or "",
        token=bearer_token(request.headers.get("Authorization", "")),
        certificate=_certificate(request),
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
