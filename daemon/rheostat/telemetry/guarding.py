"""The middlewares before every page: who is asking, whether they may, and whether too often."""

import math
from collections.abc import Collection

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from rheostat.door.authenticating import Door
from rheostat.door.limits import Limits, Pace
from rheostat.door.roles import Reach, Right, Role
from rheostat.errors import PermissionDenied, ResourceExhausted, Unauthenticated
from rheostat.web.presenting import CHALLENGE, presented

_VIEW_ALL = Right(Role.VIEWER, Reach.ALL)


def guard(door: Door, *, but: Collection[str], limits: Limits | None = None) -> Middleware:
    """Return what lets in who may view all runs; some paths are for everybody.

    Args:
        door: who is asked.
        but: the paths for everybody, whose requests are counted by where they come from.
        limits: how much callers may ask for; None is what is usual.
    """
    pace = Pace(limits or Limits())

    @web.middleware
    async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
        who = request.remote or ""
        if request.path not in but:
            try:
                identity = await door.identify(presented(request), to=request.path)
                await door.permit(identity, _VIEW_ALL, to=request.path)
            except Unauthenticated as error:
                raise web.HTTPUnauthorized(text=f"{error}\n", headers=CHALLENGE) from error
            except PermissionDenied as error:
                raise web.HTTPForbidden(text=f"{error}\n") from error
            who = identity.principal
        _count(pace, who)
        return await handler(request)

    return admit


def paced(limits: Limits) -> Middleware:
    """Return what lets in everybody, but nobody too often."""
    pace = Pace(limits)

    @web.middleware
    async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
        _count(pace, request.remote or "")
        return await handler(request)

    return admit


def _count(pace: Pace, who: str) -> None:
    try:
        pace.request(who)
    except ResourceExhausted as error:
        later = {"Retry-After": str(math.ceil(error.retry_after or 1.0))}
        raise web.HTTPTooManyRequests(text=f"{error}\n", headers=later) from error
