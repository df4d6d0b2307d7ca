"""The verb `agent`: this machine takes part in runs of a daemon on another one."""

from typing import Annotated

import typer


def agent(
    rendezvous: Annotated[
        str,
        typer.Option(
            envvar="RHEOSTAT_RENDEZVOUS",
            metavar="HOST:PORT",
            help="As `rheostat serve --rendezvous` has it on the daemon's machine.",
        ),
    ],
) -> None:
    """Join each run with train.nodes above 1, until SIGTERM or Ctrl-C.

    Data, and code that the spec names, must be where the spec says on this machine too.
    """
    from rheostat.trainer.distributed.agent import take_part

    take_part(rendezvous, typer.echo)
