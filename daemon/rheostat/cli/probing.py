"""`rheostat lr probe`: which learning rate would be good now."""

import math
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from rheostat.cli.connection import connect
from rheostat.cli.options import Address, Json, RunName, StateDir
from rheostat.cli.plotting import check_plot_suffix
from rheostat.cli.terminal import OUT, make_table, print_json, tell
from rheostat.errors import RheostatError
from rheostat.runs.trials import ProbeReport
from rheostat.steering.wording import guardrail_sentence, number

_TIMEOUT_SECONDS = 600.0
_LOW, _HIGH, _POINTS = 1e-5, 1.0, 12
_STEPS = 20


def probe(
    run: RunName,
    low: Annotated[float, typer.Option(help="The smallest LR to try.")] = _LOW,
    high: Annotated[float, typer.Option(help="The largest.")] = _HIGH,
    points: Annotated[
        int, typer.Option(help="How many, evenly spaced in log(LR).", min=1, max=32)
    ] = _POINTS,
    lr: Annotated[
        list[float] | None,
        typer.Option(
            help="Try this one, in place of --low to --high; may be repeated.", show_default=False
        ),
    ] = None,
    steps: Annotated[int, typer.Option(help="Length of each trial, optimizer steps.")] = _STEPS,
    group: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this group has the LR; may be repeated. All by default.", show_default=False
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw the trials' losses into a .png, .svg or .pdf file.",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(help="Longest wait, seconds.")] = _TIMEOUT_SECONDS,
    as_json: Json = False,
    address: Address = None,
    state_dir: StateDir = None,
) -> None:
    """Try learning rates out from the present state, which comes back, and suggest one."""
    if plot is not None:
        check_plot_suffix(plot)
    rates = lr or _spaced(low, high, points)
    with connect(address, state_dir) as client:
        found = client.probe_learning_rates(
            run, rates, steps=steps, groups=group or (), timeout=timeout
        )
    if plot is not None:
        _draw(run, found, plot)
    if as_json:
        print_json(msgspec.to_builtins(found))
        return
    _show(run, found)
    if plot is not None:
        tell(f"The picture is in {plot}.")


def _spaced(low: float, high: float, points: int) -> list[float]:
    if not 0 < low < math.inf:
        raise typer.BadParameter(f"{low:g} must be greater than 0 and finite", param_hint="--low")
    if not low <= high < math.inf:
        raise typer.BadParameter(
            f"{high:g} must be finite and at least --low, which is {low:g}", param_hint="--high"
        )
    # Rounded, so that what is suggested can be typed.
    ratios = [index / max(1, points - 1) for index in range(points)]
    return list(dict.fromkeys(float(f"{low * (high / low) ** one:.3g}") for one in ratios))


def _show(run: str, found: ProbeReport) -> None:
    tell(
        f"{run} at step {found.step}: {len(found.trials)} LRs for {found.steps} steps each, "
        f"{', '.join(found.groups)}"
    )
    columns = ("learning rate", "first loss", "loss at the end", "")
    table = make_table(*columns, numbers=columns[:3])
    for trial in found.trials:
        marks = [
            *(["lowest"] if trial.learning_rate == found.lowest else []),
            *(["steepest"] if trial.learning_rate == found.steepest else []),
            *(f"bent by {rule}" for rule in trial.guardrails),
        ]
        if trial.end_loss is None:
            marks.append(f"not finite after {len(trial.losses) - 1} steps")
        table.add_row(
            number(trial.learning_rate),
            number(trial.losses[0] if trial.losses else None),
            number(trial.end_loss),
            ", ".join(marks),
        )
    OUT.print(table)
    for rule in dict.fromkeys(rule for trial in found.trials for rule in trial.guardrails):
        tell(guardrail_sentence(rule))
    tell(f"{run} stood still for {found.seconds:.1f} s, and goes on as if nothing had been tried.")
    if found.batches:
        tell(_told_batches(found))
    if found.steepest is not None:
        tell(
            f"The loss falls fastest over log(LR) at {found.steepest:g}: rheostat lr set {run} "
            f"{found.steepest:g}"
        )
    if found.lowest is not None:
        tell(f"It is lowest with {found.lowest:g}, which over more steps may be too high.")


def _told_batches(found: ProbeReport) -> str:
    """Say what a probe took of a script's data: the first loss of a trial is not the LR's yet."""
    firsts = {trial.losses[0] for trial in found.trials if trial.losses}
    taken = f"Its script's loop handed out {found.batches} batches for it"
    sooner = f"ends {found.batches} steps sooner, unless restore= brings back where it was."
    if len(found.trials) < 2:
        return f"{taken}. One of fixed length {sooner}"
    which = "the same for each LR" if len(firsts) == 1 else "others for each LR"
    return f"{taken}, {which}, as the first losses show. One of fixed length {sooner}"


def _draw(run: str, found: ProbeReport, file: Path) -> None:
    from rheostat.cli.probing_picture import draw_probe

    try:
        draw_probe(run, found, file)
    except OSError as error:
        raise RheostatError(f"{file} cannot be written: {error.strerror or error}") from error
