"""The noun `schedule`: edits of what gives the base learning rate, while the run trains."""

from typing import Annotated, Literal

import typer

from rheostat.cli import plugin_args
from rheostat.cli.changes import verb_of
from rheostat.cli.plugin_args import PluginArgs
from rheostat.steering.records import Change, ScheduleEdit, Verb

app = typer.Typer(help="Edit the schedule of a run while it trains.", no_args_is_help=True)

_for_some_groups = verb_of(app, without={"expires_after_steps"})
_for_the_run = verb_of(app, without={"expires_after_steps", "group"})

NoRescale = Annotated[
    bool,
    typer.Option("--no-rescale", help="Let the LR jump to what the schedule gives by itself."),
]
Ratio = Annotated[float | None, typer.Option(help="That share, 0 to 1; 0 by default.")]


@_for_some_groups
def swap(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The new schedule, as `name` in a spec.")
    ],
    arg: PluginArgs = None,
    no_rescale: NoRescale = False,
) -> Change:
    """Let another schedule go on from here, for what is left of the run."""
    args = plugin_args.as_json(arg)
    edit = ScheduleEdit(schedule=name, args=args, rescale=not no_rescale)
    return Change(verb=Verb.SWAP, edit=edit)


@_for_the_run
def horizon(
    steps: Annotated[int, typer.Argument(metavar="STEPS", help="Planned steps of the whole run.")],
    no_rescale: NoRescale = False,
) -> Change:
    """Plan another number of steps, and fit the schedules to it."""
    return Change(verb=Verb.HORIZON, edit=ScheduleEdit(steps=steps, rescale=not no_rescale))


@_for_some_groups
def cooldown(
    steps: Annotated[
        int | None, typer.Option(help="Length of the fall; what is left of the run by default.")
    ] = None,
    shape: Annotated[
        Literal["1-sqrt", "linear", "cosine"], typer.Option(help="How it falls.")
    ] = "1-sqrt",
    ratio: Ratio = None,
) -> Change:
    """Let the learning rate fall from where it is, to a share of it."""
    edit = ScheduleEdit(steps=steps, shape=shape, ratio=ratio)
    return Change(verb=Verb.COOLDOWN, edit=edit)


@_for_some_groups
def rewarm(
    steps: Annotated[int, typer.Option(help="Length of the rise.")], ratio: Ratio = None
) -> Change:
    """Let the learning rate rise again to the schedule's, from a share of it."""
    return Change(verb=Verb.REWARM, edit=ScheduleEdit(steps=steps, ratio=ratio))
