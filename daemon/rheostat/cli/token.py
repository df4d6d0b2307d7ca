"""The verb `token`: a new bearer token, shown this once."""

from typing import Annotated

import typer

from rheostat.cli.options import Json
from rheostat.cli.terminal import print_json, tell


def token(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Whom decision records name for its changes.")
    ],
    as_json: Json = False,
) -> None:
    """Make a bearer token; only its hash is for the daemon's file."""
    from rheostat.door.tokens import new_token

    made = new_token(name)
    if as_json:
        print_json({"principal": made.principal, "token": made.token, "line": made.line})
        return
    tell(f"The token of {made.principal}, which is kept nowhere (RHEOSTAT_TOKEN, --token-file):")
    tell(f"  {made.token}")
    tell("The line for the file of `rheostat serve --tokens FILE`:")
    tell(f"  {made.line}")
