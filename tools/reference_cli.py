"""The page of the command line, from the commands that typer has built."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer

from rheostat.cli.main import app

HEAD = """# The command line

Every verb of `rheostat`, written by `tools/reference.py` from the code; `rheostat VERB --help` says
the same.

Exit codes: 0 ok, 1 failed, 2 usage or invalid spec, 3 daemon unreachable. Options of `rheostat`
itself stand before the verb: `rheostat --address HOST:PORT lr show RUN`. A variable in the last
column is read where the option is not given.
"""
KINDS = {str: "text", int: "whole number", float: "number", Path: "file or folder"}


def page() -> str:
    """Return the page."""
    command = typer.main.get_command(app)
    sections = [HEAD, "## rheostat\n", *_parameters(command)]
    for name, one in command.commands.items():
        sections += _command(f"rheostat {name}", one)
    return "\n".join(sections)


def _command(path: str, command: Any) -> Iterator[str]:
    assert command.help, f"`{path}` says nothing about itself"
    nested = getattr(command, "commands", {})
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    yield f"{'###' if path.count(' ') > 1 else '##'} {path}\n"
    if not nested:
        usage = " ".join([path, *map(_in_usage, arguments), "[OPTIONS]"])
        yield f"```text\n{usage}\n```\n"
    yield _paragraphs(command.help) + "\n"
    yield from _parameters(command)
    for name, one in nested.items():
        yield from _command(f"{path} {name}", one)


def _in_usage(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    repeats = (argument.nargs != 1 or argument.multiple) and not name.endswith("...")
    name = f"{name}..." if repeats else name
    return name if argument.required else f"[{name.strip('[]')}]"


def _parameters(command: Any) -> Iterator[str]:
    shown = [one for one in command.params if not getattr(one, "hidden", False)]
    shown = [one for one in shown if one.name not in {"help", "version"}]
    if not shown:
        return
    rows = "\n".join(map(_row, shown))
    yield f"| | takes | default | meaning | variable |\n|---|---|---|---|---|\n{rows}\n"


def _row(parameter: Any) -> str:
    assert parameter.help, f"{parameter.name} says nothing about itself"
    is_option = parameter.param_type_name == "option"
    names = [*parameter.opts, *parameter.secondary_opts] if is_option else [_in_usage(parameter)]
    cells = (
        ", ".join(f"`{name}`" for name in names),
        "" if getattr(parameter, "is_flag", False) else _takes(parameter),
        _default(parameter),
        _paragraphs(parameter.help),
        f"`{parameter.envvar}`" if parameter.envvar else "",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _takes(parameter: Any) -> str:
    annotation = parameter.type_descriptor.annotation
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{one}`" for one in get_args(annotation))
    several = get_origin(annotation) in {list, tuple}
    kind = get_args(annotation)[0] if several else annotation
    said = KINDS.get(kind, getattr(kind, "__name__", str(kind)))
    return f"{said}, repeatable" if several else said


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    value = parameter.default
    if value in (None, False, True, [], ()) or callable(value) or not parameter.show_default:
        return ""
    return f"`{value}`"


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(each.split()) for each in text.split("\n\n")).replace("<", "\\<")
