"""The arguments and options that several verbs share."""

from pathlib import Path
from typing import Annotated, Any

import typer

from rheostat.cli.completing import run_names

ADDRESS_HELP = "host:port of the daemon to ask."
STATE_DIR_HELP = "Folder of the runs, whose daemon is asked without an address."


def _given_or_global(ctx: typer.Context, param: typer.CallbackParam, value: Any) -> Any:
    """Let `rheostat --address A lr show` mean the same as `rheostat lr show --address A`.

    Both count more than the environment, and the one after the verb more than the one before it.
    """
    name = str(param.name)
    before_verb = ctx.find_root().params.get(name)
    source = ctx.get_parameter_source(name)
    # By name, since typer brings a click of its own along.
    is_after_verb = source is not None and source.name == "COMMANDLINE"
    return value if is_after_verb or before_verb is None else before_verb


Address = Annotated[
    str | None,
    typer.Option(
        "--address", envvar="RHEOSTAT_ADDRESS", callback=_given_or_global, help=ADDRESS_HELP
    ),
]
StateDir = Annotated[
    str | None,
    typer.Option(
        "--state-dir", envvar="RHEOSTAT_STATE_DIR", callback=_given_or_global, help=STATE_DIR_HELP
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
RunName = Annotated[
    str, typer.Argument(metavar="RUN", help="Name of the run.", autocompletion=run_names)
]
SpecFile = Annotated[
    Path, typer.Argument(metavar="SPEC", help="The spec, a YAML or JSON file.", show_default=False)
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Change a value of the spec, e.g. train.steps=500; may be repeated.",
        show_default=False,
    ),
]
