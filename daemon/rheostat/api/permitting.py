"""What a handler asks the door once more, when it has read what the call is about."""

from collections.abc import Awaitable, Callable

from rheostat.api.handling import caller
from rheostat.door.authenticating import Door
from rheostat.door.roles import Right, Role
from rheostat.steering.records import Change
from rheostat.steering.wishes import names_code


def may_create(door: Door) -> Callable[[str], Awaitable[None]]:
    """Return what refuses a new run whose name is not the caller's to give."""

    async def permit(run: str) -> None:
        await door.permit(caller(), Right(Role.ADMIN, run), to="a new run")

    return permit


async def permit_code(door: Door, run: str, change: Change) -> None:
    """Let a change through, unless it names code and the caller is no admin of the run.

    Raises:
        PermissionDenied: in that case.
    """
    if names_code(change):
        await door.permit(caller(), Right(Role.ADMIN, run), to="code by import path")
