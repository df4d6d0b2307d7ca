"""What verbs present to a daemon: options before the verb, each with a variable of its own."""

import os
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rheostat.client import Credentials

_PANEL = "What is presented to a daemon"
_GIVEN: ContextVar[Mapping[str, str]] = ContextVar("credentials")


def _file(variable: str, help: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        envvar=variable, metavar="FILE", rich_help_panel=_PANEL, help=help
    )
    return option


Ca = Annotated[
    str | None, _file("RHEOSTAT_CA", "CA of the daemon's certificate (PEM); with it TLS is spoken.")
]
Cert = Annotated[str | None, _file("RHEOSTAT_CERT", "Certificate to present (PEM).")]
Key = Annotated[str | None, _file("RHEOSTAT_KEY", "Private key of that certificate (PEM).")]
TokenFile = Annotated[
    str | None,
    _file("RHEOSTAT_TOKEN_FILE", "Bearer token to present; RHEOSTAT_TOKEN may hold the token."),
]
ServerName = Annotated[
    str | None,
    typer.Option(
        envvar="RHEOSTAT_SERVER_NAME",
        rich_help_panel=_PANEL,
        help="Name in the daemon's certificate, where a tunnel hides it.",
    ),
]
Insecure = Annotated[
    bool,
    typer.Option(
        "--insecure",
        envvar="RHEOSTAT_INSECURE",
        rich_help_panel=_PANEL,
        help="Let the token travel to another machine without TLS.",
    ),
]


def remember(given: Mapping[str, str | None]) -> None:
    """Keep what the options say, by variable, for the verb that comes after them."""
    _GIVEN.set({variable: value for variable, value in given.items() if value})


def presented() -> "Credentials":
    """Return what the options said, else what the environment says.

    Raises:
        InvalidRequest: if there is no token in the file named.
    """
    from rheostat.client import Credentials

    return Credentials.from_environment({**os.environ, **_GIVEN.get({})})
