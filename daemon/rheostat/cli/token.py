"""The verb `token`: a new bearer token, shown this once."""

from typing import Annotated, Literal

import typer

from rheostat.cli.options import Json
from rheostat.cli.terminal import print_json, tell


def token(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Whom decision records name for its changes.")
    ],
    role: Annotated[
        Literal["viewer", "operator", "admin"] | None,
        typer.Option(
            help="What it allows, for all runs; without one, what `serve --roles FILE` says.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a bearer token; only its hash is for the daemon's file."""
    from rheostat.door.roles import Role
    from rheostat.door.tokens import new_token

    made = new_token(name, Role(role) if role is not None else None)
    if as_json:
        shown = {"principal": made.principal, "role": made.role, "token": made.token}
        print_json({**shown, "line": made.line})
        return
    tell(f"The token of {made.principal}, which is kept nowhere (RHEOSTAT_TOKEN, --token-file):")
    tell(f"  {made.token}")
    tell("The line for the file of `rheostat serve --tokens FILE`:")
    tell(f"  {made.line}")
    if made.role is None:
        tell("It allows what `rheostat serve --roles FILE` says of its name; or give it a --role.")
