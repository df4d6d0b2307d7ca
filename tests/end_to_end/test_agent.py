"""A real MCP client, the real command, a real daemon: an agent looks, proposes and acts."""

import json
import sys
from contextlib import asynccontextmanager

import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from tests.end_to_end.conftest import environment


@asynccontextmanager
async def agent(daemon, *options):
    """Speak to `rheostat mcp` as an agent's host does."""
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "rheostat", "mcp", *options],
        env=environment(daemon.state_dir),
    )
    async with stdio_client(parameters) as streams, ClientSession(*streams) as session:
        await session.initialize()
        yield session


async def call(session, tool, **arguments):
    """Return a tool's answer; an error's text where it was refused."""
    result = await session.call_tool(tool, arguments)
    text = result.content[0].text
    return text if result.is_error else json.loads(text)


@pytest.fixture(scope="module")
def run(daemon):
    with daemon.training() as run:
        run.advance()
        yield run


async def test_an_agent_in_shadow_sees_everything_and_moves_nothing(daemon, run):
    known = run.history
    async with agent(daemon) as session:
        tools = {tool.name for tool in (await session.list_tools()).tools}
        explained = await call(session, "explain_learning_rate", run=run.name)
        proposed = await call(
            session, "change_learning_rate", run=run.name, verb="scale", value=0.5, reason="noisy"
        )

    assert {"list_runs", "read_curves", "list_decisions", "change_learning_rate"} <= tools
    assert explained["groups"][0]["operator"] == 1.0
    assert proposed["groups"][0]["new"] == 0.5 * proposed["groups"][0]["old"]
    assert proposed["shadow"] is True
    assert run.history == known


async def test_an_agent_that_may_act_acts_within_its_bounds_and_under_its_name(daemon, run):
    known = run.history
    async with agent(daemon, "--act", "--name", "night-watch", "--max-factor", "3") as session:
        refused = await call(
            session, "change_learning_rate", run=run.name, verb="scale", value=0.1, reason="no"
        )
        done = await call(
            session, "change_learning_rate", run=run.name, verb="scale", value=0.5, reason="noisy"
        )
        unknown = await call(session, "show_run", run="nobody")

    assert "by a factor of 3 at most" in refused
    assert "nobody" in unknown
    [record] = run.history[len(known) :]
    assert record.decision.applied_step == done["applied_step"]
    assert record.decision.principal == "night-watch"
    assert record.decision.reason == "noisy"
