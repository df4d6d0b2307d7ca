"""`--arg KEY=VALUE`: the arguments of a schedule or a policy, from the command line."""

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from rheostat.errors import InvalidRequest, InvalidSpec, Violation
from rheostat.spec.loading import read_value

_OPTION = "--arg"

PluginArgs = Annotated[
    list[str] | None,
    typer.Option(
        _OPTION,
        metavar="KEY=VALUE",
        help="An argument, as under `args` in a spec; may be repeated.",
        show_default=False,
    ),
]


def as_json(given: Sequence[str] | None) -> str:
    """Return arguments as a JSON object, as requests carry them; empty where there are none.

    Args:
        given: `KEY=VALUE` each; the value is read as YAML, so `1e-3` is a number.

    Raises:
        InvalidRequest: with everything that is not an argument.
    """
    args: dict[str, Any] = {}
    violations: list[Violation] = []
    for pair in given or ():
        key, equals, text = pair.partition("=")
        if not equals or not key.isidentifier():
            violations.append(Violation(_OPTION, pair, "KEY=VALUE, such as factor=0.5"))
            continue
        try:
            args[key] = read_value(text, f"{_OPTION} {key}")
        except InvalidSpec as error:
            violations += error.violations
    if violations:
        raise InvalidRequest(violations)
    return json.dumps(args) if args else ""
