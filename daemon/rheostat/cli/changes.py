"""Verbs that change a run, and those of them that change its LRs outright."""

import inspect
from collections.abc import Callable, Collection
from typing import Annotated, Any

import msgspec
import typer

from rheostat.cli.connection import connect
from rheostat.cli.options import Address, Json, RunName, StateDir
from rheostat.cli.shapes import change_result
from rheostat.cli.terminal import OUT, make_table, print_json, tell
from rheostat.runs.records import ChangeResult
from rheostat.steering.records import POLICY_VERBS, Change, Verb
from rheostat.steering.wording import guardrail_sentence, has_moved, number

app = typer.Typer()

_TIMEOUT_SECONDS = 30.0

LearningRate = Annotated[float, typer.Argument(metavar="VALUE", help="The learning rate.")]
Factor = Annotated[float, typer.Argument(metavar="VALUE", help="What it is multiplied by.")]
RampSteps = Annotated[int, typer.Option("--steps", help="Length of the ramp, optimizer steps.")]


def submit(
    run: str,
    change: Change,
    *,
    group: Annotated[
        list[str] | None,
        typer.Option(help="Only this group; may be repeated. All by default.", show_default=False),
    ] = None,
    at_step: Annotated[int | None, typer.Option(help="Not before this step.")] = None,
    expires_after_steps: Annotated[
        int | None, typer.Option(help="Undo it after it has acted for so many steps.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; kept in the history.")] = "",
    request_id: Annotated[
        str, typer.Option(help="Key under which the same request is applied only once.")
    ] = "",
    expected_revision: Annotated[
        int | None, typer.Option(help="Refuse if somebody changed the run since this revision.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what it would do at the next step.")
    ] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Do not wait until it is applied.")
    ] = False,
    timeout: Annotated[
        float, typer.Option(help="Longest wait until it is applied, seconds.")
    ] = _TIMEOUT_SECONDS,
    as_json: Json = False,
    address: Address = None,
    state_dir: StateDir = None,
) -> None:
    """Send a change to the daemon and print what became of it."""
    change = msgspec.structs.replace(
        change,
        groups=tuple(group or ()),
        at_step=at_step,
        expires_after_steps=expires_after_steps,
        reason=reason,
        request_id=request_id,
        expected_revision=expected_revision,
        dry_run=dry_run,
    )
    with connect(address, state_dir) as client:
        result = client.change_learning_rate(run, change, wait=not no_wait, timeout=timeout)
    print_change(run, result, as_json)


def print_change(run: str, result: ChangeResult, as_json: bool) -> None:
    """Say what a change did."""
    if as_json:
        print_json(change_result(result), one_line=True)
    else:
        _print_result(run, result)


def _print_result(run: str, result: ChangeResult) -> None:
    decision = result.decision
    if decision is None:
        tell(f"Accepted as request {result.request_id}; it acts as soon as it may.")
        tell(f"See it with: rheostat lr history {run}")
        return
    if result.dry_run:
        tell(f"Would act from step {decision.applied_step} on; nothing was changed.")
    else:
        tell(f"Acts from step {decision.applied_step} on, as revision {decision.revision}.")
    if decision.verb not in POLICY_VERBS or has_moved(decision.groups):
        table = make_table("group", "old", "new", numbers=("old", "new"))
        for group in decision.groups:
            table.add_row(group.name, number(group.old, 6), number(group.new, 6))
        OUT.print(table)
    for rule in decision.guardrails:
        tell(guardrail_sentence(rule))
    for group in decision.groups:
        if group.hold is not None and decision.verb != Verb.HOLD:
            held = number(group.hold, 6)
            tell(f"Group {group.name} is held at {held}; this acts once it is released.")


def verb_of(
    noun: typer.Typer, *, without: Collection[str] = ()
) -> Callable[[Callable[..., Change]], Callable[..., Change]]:
    """Return what adds a verb to a noun: a run, a function's own parameters, the shared options.

    Args:
        noun: what the verb belongs to.
        without: names of the shared options that make no sense for it.
    """

    def add(make_change: Callable[..., Change]) -> Callable[..., Change]:
        def command(run: str, **given: Any) -> None:
            change = make_change(**{name: given.pop(name) for name in own})
            submit(run, change, **given)

        own = inspect.signature(make_change).parameters
        _, _, *shared = inspect.signature(submit).parameters.values()
        name = inspect.Parameter("run", inspect.Parameter.KEYWORD_ONLY, annotation=RunName)
        keywords = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own.values()]
        options = [each for each in shared if each.name not in without]
        signature = inspect.Signature([name, *keywords, *options])
        command.__signature__ = signature  # type: ignore[attr-defined]
        command.__annotations__ = {
            each.name: each.annotation for each in signature.parameters.values()
        }
        command.__doc__ = make_change.__doc__
        # So that `-1` and `-inf` are values, for the daemon to refuse with its reasons.
        settings = {"ignore_unknown_options": True}
        noun.command(make_change.__name__.rstrip("_"), context_settings=settings)(command)
        return make_change

    return add


verb = verb_of(app)


@verb
def set_(value: LearningRate) -> Change:
    """Make the learning rate VALUE now; the schedule's shape goes on from there."""
    return Change(verb=Verb.SET, value=value)


@verb
def scale(value: Factor) -> Change:
    """Multiply the learning rate by VALUE from now on."""
    return Change(verb=Verb.SCALE, value=value)


@verb
def ramp(value: LearningRate, steps: RampSteps) -> Change:
    """Bring the learning rate to VALUE over some steps, geometrically."""
    return Change(verb=Verb.RAMP, value=value, steps=steps)


@verb
def hold(value: LearningRate) -> Change:
    """Keep the learning rate at VALUE until it is released or expires."""
    return Change(verb=Verb.HOLD, value=value)


@verb
def release() -> Change:
    """End a hold; where nothing is held, drop every scale, ramp and set."""
    return Change(verb=Verb.RELEASE)
