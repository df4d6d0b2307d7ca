"""The noun `policy`: what moves learning rates by itself, looked at and changed in mid-run."""

from collections.abc import Iterator
from typing import Annotated

import msgspec
import typer

from rheostat.cli import plugin_args
from rheostat.cli.changes import verb_of
from rheostat.cli.connection import connect
from rheostat.cli.options import Address, Json, RunName, StateDir
from rheostat.cli.phrases import compact_factors, policy_states
from rheostat.cli.plugin_args import PluginArgs
from rheostat.cli.terminal import OUT, make_table, print_json, tell
from rheostat.steering.policies import CHANGED, FAILED, KEPT, LATE, MISSED, SLOW
from rheostat.steering.records import Change, PolicyEdit, PolicyStatus, Verb

app = typer.Typer(help="Look at, attach and detach the policies of a run.", no_args_is_help=True)

_verb = verb_of(app, without={"expires_after_steps", "group"})

PolicyName = Annotated[str, typer.Argument(metavar="NAME", help="One of the run's policies.")]


@app.command("list")
def list_(
    run: RunName, as_json: Json = False, address: Address = None, state_dir: StateDir = None
) -> None:
    """List the policies of a run: where each stands, and how it behaves."""
    with connect(address, state_dir) as client:
        policies = client.list_policies(run)
    if as_json:
        print_json(msgspec.to_builtins(policies))
        return
    if not policies:
        tell(f"{run} has no policies. Attach one with: rheostat policy attach {run} NAME")
        return
    table = make_table("policy", "state", "runs", "factor", "answers", "newest failure")
    for policy in policies:
        table.add_row(
            policy.name,
            ", ".join(policy_states(policy)),
            _place(policy),
            compact_factors(policy.factors),
            ", ".join(_answers(policy)) or "-",
            policy.failure or "-",
        )
    OUT.print(table)


@app.command()
def types(as_json: Json = False, address: Address = None, state_dir: StateDir = None) -> None:
    """List the policies that can be attached by name."""
    with connect(address, state_dir) as client:
        found = client.list_policy_types()
    if as_json:
        print_json(
            [{"name": one.name, "summary": one.summary, "origin": one.origin} for one in found]
        )
        return
    table = make_table("policy", "from", "what it does")
    for one in found:
        table.add_row(one.name, one.origin, one.summary or "-")
    OUT.print(table)


@_verb
def attach(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="What to attach, as `name` in a spec.")
    ],
    arg: PluginArgs = None,
    shadow: Annotated[bool, typer.Option("--shadow", help="Let it decide without effect.")] = False,
) -> Change:
    """Add a policy, whose factor is 1 until it decides."""
    edit = PolicyEdit(policy=name, args=plugin_args.as_json(arg), shadow=shadow)
    return Change(verb=Verb.ATTACH, policy=edit)


@_verb
def detach(
    name: PolicyName,
    ramp_steps: Annotated[int, typer.Option(help="Steps in which its factor goes to 1.")] = 1,
) -> Change:
    """Remove a policy, and its factor with it."""
    return Change(verb=Verb.DETACH, policy=PolicyEdit(policy=name, ramp_steps=ramp_steps))


@_verb
def shadow(
    name: PolicyName,
    off: Annotated[bool, typer.Option("--off", help="Let its factor act, as it stands.")] = False,
) -> Change:
    """Let a policy decide without effect."""
    return Change(verb=Verb.ENGAGE if off else Verb.SHADOW, policy=PolicyEdit(policy=name))


@_verb
def revive(name: PolicyName) -> Change:
    """Ask a policy again that was benched."""
    return Change(verb=Verb.REVIVE, policy=PolicyEdit(policy=name))


def _answers(policy: PolicyStatus) -> Iterator[str]:
    """Yield how often it answered in which way, the good ones first."""
    for outcome in (KEPT, CHANGED, FAILED, SLOW, LATE, MISSED):
        if count := policy.outcomes.get(outcome):
            yield f"{outcome} {count:,}"


def _place(policy: PolicyStatus) -> str:
    return f"remote, {policy.mode}" if policy.mode else "in the trainer"
