"""The two streams: results for people and scripts on stdout, everything else on stderr."""

from typing import Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

OUT = Console(highlight=False, markup=False, emoji=False)
"""For results."""
ERR = Console(stderr=True, highlight=False, markup=False, emoji=False)
"""For progress and mistakes, so that stdout stays clean for scripts."""


def print_json(value: Any, *, one_line: bool = False) -> None:
    """Print a value as JSON; NaN and infinity, which JSON lacks, become null."""
    encoded = msgspec.json.encode(value)
    if not one_line:
        encoded = msgspec.json.format(encoded, indent=2)
    typer.echo(encoded.decode())


def tell(text: str) -> None:
    """Print a line of prose to stdout, as one line however long."""
    OUT.print(Text(text), soft_wrap=True)


def say(text: str) -> None:
    """Print a line of prose to stderr."""
    ERR.print(Text(text), soft_wrap=True)


def complain(text: str) -> None:
    """Print a mistake to stderr, as one red line."""
    ERR.print(Text(text, style="red"), soft_wrap=True)


def make_table(*columns: str, numbers: tuple[str, ...] = ()) -> Table:
    """Return an empty table.

    Args:
        columns: their headings.
        numbers: the headings of those that are aligned to the right.
    """
    table = Table(header_style="bold", box=None, pad_edge=False)
    for column in columns:
        align = "right" if column in numbers else "left"
        table.add_column(column, justify=align, overflow="fold")  # type: ignore[arg-type]
    return table
