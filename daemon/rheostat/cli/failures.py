"""Errors into red lines and exit codes."""

from typing import Any

import typer
from typer.core import TyperGroup

from rheostat.cli.terminal import complain
from rheostat.errors import InvalidRequest, RheostatError, Unreachable

EXIT_FAILED = 1
EXIT_INVALID = 2
EXIT_UNREACHABLE = 3
EXIT_INTERRUPTED = 130


class Verbs(TyperGroup):
    """The command's root: no error that Rheostat raises on purpose leaves it as a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the verb."""
        try:
            return super().invoke(ctx)
        except InvalidRequest as error:
            for violation in error.violations:
                complain(str(violation))
            raise typer.Exit(EXIT_INVALID) from error
        except Unreachable as error:
            complain(str(error))
            raise typer.Exit(EXIT_UNREACHABLE) from error
        except RheostatError as error:
            complain(str(error))
            raise typer.Exit(EXIT_FAILED) from error
