"""`rheostat mcp`: the control plane as tools of the Model Context Protocol."""

from collections.abc import Callable
from functools import wraps
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rheostat.cli import connection
from rheostat.cli.agents import Terms, Tools
from rheostat.cli.options import Address, StateDir
from rheostat.errors import FailedPrecondition, RheostatError

if TYPE_CHECKING:
    from mcp.server import MCPServer

_INSTRUCTIONS = """Rheostat trains models and owns their learning rates (LR): base schedule x
policies x operators, bounded by guardrails. Look before you act: show_run, read_curves,
explain_learning_rate, list_decisions. Every change is written down with your name and reason.
"""
_SHADOW = "You are in shadow: changes are answered with what they would do, and are not applied."
_ACTING = "Your changes act on the run at its next step."


def mcp(
    act: Annotated[
        bool,
        typer.Option("--act", help="Apply changes; without it they are only computed (shadow)."),
    ] = False,
    max_factor: Annotated[
        float, typer.Option(help="Most that one change may multiply or divide an LR by.")
    ] = 2.0,
    runs: Annotated[
        list[str] | None,
        typer.Option(
            "--run", metavar="PATTERN", help="Only these runs may be changed; may be repeated."
        ),
    ] = None,
    name: Annotated[
        str,
        typer.Option(help="Who the history says it was, where the daemon asks for no proof."),
    ] = "agent",
    address: Address = None,
    state_dir: StateDir = None,
) -> None:
    """Serve runs and their LRs as tools to an LLM agent, over stdin and stdout (MCP)."""
    terms = Terms(acts=act, max_factor=max_factor, runs=tuple(runs or ("*",)))
    with (
        connection.find_daemon(address, state_dir) as daemon,
        connection.dial(daemon, principal=name) as client,
    ):
        make_server(Tools(client, terms), terms).run("stdio")


def make_server(tools: Tools, terms: Terms) -> "MCPServer":
    """Return a server of some tools, which says what they mean and whether they act.

    Raises:
        FailedPrecondition: if the extra is not installed.
    """
    try:
        from mcp.server import MCPServer
        from mcp.types import ToolAnnotations
    except ImportError as error:
        raise FailedPrecondition(
            f"{error.name} is not installed: pip install 'rheostat[mcp]'"
        ) from error
    server = MCPServer(
        "rheostat",
        version=version("rheostat"),
        instructions=_INSTRUCTIONS + (_ACTING if terms.acts else _SHADOW),
        log_level="WARNING",
    )
    for tool in tools.reading:
        server.add_tool(_telling(tool), annotations=ToolAnnotations(read_only_hint=True))
    for tool in tools.changing:
        hints = ToolAnnotations(read_only_hint=not terms.acts, destructive_hint=terms.acts)
        server.add_tool(_telling(tool), annotations=hints)
    return server


def _telling(tool: Callable[..., Any]) -> Callable[..., Any]:
    """Let an agent read why it was refused."""
    from mcp.server.mcpserver.exceptions import ToolError

    @wraps(tool)
    def told(*args: Any, **kwargs: Any) -> Any:
        try:
            return tool(*args, **kwargs)
        except RheostatError as error:
            raise ToolError(str(error)) from None

    return told
