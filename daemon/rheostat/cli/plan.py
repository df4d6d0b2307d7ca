"""The verb `plan`: what a spec would train, at which learning rates."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rheostat.cli.options import Json, Overrides, SpecFile
from rheostat.cli.plotting import check_plot_suffix, draw
from rheostat.cli.shapes import param_group
from rheostat.cli.specs import check_all, read_spec
from rheostat.cli.terminal import OUT, make_table, print_json, say, tell
from rheostat.runs.records import GroupDescription
from rheostat.steering.wording import number

if TYPE_CHECKING:
    from rheostat.trainer.planning import Plan

_SHOWN_STEPS = 12
_MOST_COLUMNS = 8


def plan(
    spec: SpecFile,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="START:STOP:STRIDE",
            help="Steps to show, counted from 0, without STOP itself; a dozen by default.",
            show_default=False,
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw it too: .png, .svg or .pdf.", show_default=False),
    ] = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Show the param groups and the planned learning rates, without training."""
    from rheostat.trainer import planning

    if plot is not None:
        check_plot_suffix(plot)
    checked = check_all(read_spec(spec, overrides))
    planned = planning.plan(checked)
    steps = _spread(planned.steps) if at is None else _slice(at, planned.steps)
    if plot is not None:
        draw(planned, plot)
        say(f"The curve is in {plot}.")
    if as_json:
        print_json({**_shape(planned, steps), "schedule": checked.schedule.name})
    else:
        _print_plan(planned, checked.schedule.name, steps)


def _spread(steps: int) -> list[int]:
    """Return about a dozen steps from first to last."""
    last = steps - 1
    return sorted({round(last * index / (_SHOWN_STEPS - 1)) for index in range(_SHOWN_STEPS)})


def _slice(text: str, steps: int) -> Sequence[int]:
    """Read START:STOP:STRIDE, each of which may be left out as in Python's slices."""
    try:
        start, stop, stride = [
            int(part) if part else default
            for part, default in zip(text.split(":"), (0, steps, 1), strict=True)
        ]
    except ValueError:
        start, stop, stride = -1, 0, 0
    if start < 0 or stop < start or stride < 1:
        message = f"{text!r} must be START:STOP:STRIDE, such as 0:1000:100"
        raise typer.BadParameter(message, param_hint="--at")
    return range(start, stop, stride)


def _shape(planned: "Plan", steps: Sequence[int]) -> dict[str, Any]:
    """`plan --json`."""
    momentum = {
        name: [curve.momentum(step) for step in steps]
        for name, curve in planned.curves.items()
        if curve.momentum is not None
    }
    return {
        "groups": [param_group(group) for group in planned.groups],
        "steps": list(steps),
        "learning_rate": {
            name: [planned_rate(planned, name, step) for step in steps] for name in planned.curves
        },
        **({"momentum": momentum} if momentum else {}),
        "total_steps": planned.steps,
        "steps_per_epoch": planned.steps_per_epoch,
        "optimizer": planned.optimizer,
        "device": planned.device,
        "data": planned.data,
        "min_lr": planned.min_lr,
        "max_lr": planned.max_lr,
        "guardrails": planned.guardrails,
        "warnings": planned.warnings,
    }


def planned_rate(planned: "Plan", group: str, step: int) -> float:
    """Return the LR that would reach the optimizer: the schedule's, within the bounds."""
    wanted = planned.curves[group].learning_rate(step)
    return min(max(wanted, planned.min_lr[group]), planned.max_lr[group])


def _rule_value(value: Any) -> str:
    """Return a guardrail's value, e.g. `2 in 100 steps`."""
    if isinstance(value, Mapping):
        return f"{number(value['ratio'])} in {value['steps']} steps"
    return number(value)


def _print_plan(planned: "Plan", schedule: str, steps: Sequence[int]) -> None:
    epochs = planned.steps / planned.steps_per_epoch
    tell(f"{planned.data}, {planned.optimizer} on {planned.device}")
    tell(f"{planned.steps} steps, {epochs:.4g} epochs of {planned.steps_per_epoch} steps")
    tell("")
    _print_groups(planned.groups, schedule)
    _print_guardrails(planned.guardrails)
    tell("")
    _print_rates(planned, steps)
    for warning in planned.warnings:
        say(f"warning: {warning}")


def _print_groups(groups: Sequence[GroupDescription], schedule: str) -> None:
    """Print a row per group; where one has no schedule of its own, it has the run's."""
    numbers = ("tensors", "parameters")
    columns = ("group", *numbers, "own lr", "lr_scale", "schedule", "own optimizer")
    table = make_table(*columns, numbers=numbers)
    for group in groups:
        said = [group.optimizer] if group.optimizer else []
        table.add_row(
            group.name,
            str(group.tensors),
            f"{group.parameters:,}",
            "" if group.lr is None else number(group.lr),
            number(group.lr_scale),
            group.schedule or schedule,
            ", ".join([*said, *(f"{name} {value}" for name, value in group.args.items())]),
        )
    OUT.print(table)


def _print_guardrails(guardrails: Mapping[str, Mapping[str, Any]]) -> None:
    """Print them once for all groups that have the same."""
    bounded: dict[str, list[str]] = {}
    for name, rules in guardrails.items():
        words = ", ".join(f"{rule} {_rule_value(value)}" for rule, value in rules.items())
        bounded.setdefault(words or "none", []).append(name)
    for words, names in bounded.items():
        tell(f"guardrails of {', '.join(names)}: {words}")


def _print_rates(planned: "Plan", steps: Sequence[int]) -> None:
    """Print a row per step, or a row per group where there are too many for columns."""
    names = list(planned.curves)
    rates = [[number(planned_rate(planned, name, step), 6) for step in steps] for name in names]
    if len(names) <= _MOST_COLUMNS:
        table = make_table("step", *names, numbers=("step", *names))
        for step, at_step in zip(steps, zip(*rates, strict=True), strict=True):
            table.add_row(str(step), *at_step)
    else:
        columns = tuple(str(step) for step in steps)
        table = make_table("group", *columns, numbers=columns)
        for name, of_group in zip(names, rates, strict=True):
            table.add_row(name, *of_group)
    OUT.print(table)
