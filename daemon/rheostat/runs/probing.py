"""Probes that operators ask for: LRs tried out by a living trainer, and what follows from them."""

import asyncio
import math
from collections.abc import Sequence

from rheostat.errors import InvalidRequest, Violation
from rheostat.runs.keeping import Keeper
from rheostat.runs.messages import ProbeCommand, Probed
from rheostat.runs.reading import Reader
from rheostat.runs.records import Phase
from rheostat.runs.trials import ProbeReport, Trial
from rheostat_policies import MAX_PROBE_FACTORS, MAX_PROBE_STEPS

_END_SHARE = 4
"""The loss at a trial's end is the mean over this part of its steps."""


class Probes:
    """Has probes made; no LR of the run is changed, and so nothing is decided.

    Args:
        reader: finds runs.
        keeper: notes who has probed.
    """

    def __init__(self, reader: Reader, keeper: Keeper) -> None:
        self._reader = reader
        self._keeper = keeper

    async def make(
        self,
        run: str,
        learning_rates: Sequence[float],
        *,
        steps: int,
        groups: Sequence[str] = (),
        principal: str,
    ) -> ProbeReport:
        """Train some steps with each LR from the present state, and come back to it.

        Args:
            run: its name.
            learning_rates: to be tried, finite, > 0, at most 32.
            steps: of each trial, >= 2; at most 10,000 in all.
            groups: names of those that have the LR; empty means all.
            principal: who asks.

        Raises:
            NotFound: if there is no such run.
            InvalidRequest: if a value is out of its range, or there is no such group.
            FailedPrecondition: if the run is not training, does again what it had done before an
                interruption, or is paused or stopped meanwhile.
        """
        live = await self._reader.living(run, Phase.RUNNING, to="be probed")
        known = tuple(group.name for group in live.view.groups)
        check(learning_rates, steps, groups, known)
        names = tuple(name for name in known if name in groups or not groups)
        errand = live.command(
            lambda number: ProbeCommand(
                command_id=number, learning_rates=tuple(learning_rates), steps=steps, groups=names
            )
        )
        found: Probed = await asyncio.shield(errand.answer)
        report = report_of(found, learning_rates, steps, names)
        tried = f"{len(learning_rates)} LRs, {min(learning_rates):g} to {max(learning_rates):g}"
        text = (
            f"{principal} tried {tried}, for {steps} steps each at step {found.step}, "
            f"in {found.seconds:.1f} s"
        )
        best = "" if report.lowest is None else f"; the loss was lowest with {report.lowest:g}"
        await self._keeper.tell(live, "probed", text + best)
        return report


def check(
    learning_rates: Sequence[float], steps: int, groups: Sequence[str], known: Sequence[str]
) -> None:
    """Refuse a probe that cannot be.

    Raises:
        InvalidRequest: with every mistake.
    """
    wrong: list[Violation] = []
    count = len(learning_rates)
    if not 1 <= count <= MAX_PROBE_FACTORS:
        wrong.append(Violation("learning_rates", f"{count} LRs", f"1 to {MAX_PROBE_FACTORS} LRs"))
    for index, lr in enumerate(learning_rates[:MAX_PROBE_FACTORS]):
        if not (math.isfinite(lr) and lr > 0):
            wrong.append(
                Violation(f"learning_rates[{index}]", f"{lr:g}", "finite and greater than 0")
            )
    if not 2 <= steps <= MAX_PROBE_STEPS // max(count, 1):
        most = MAX_PROBE_STEPS // max(count, 1)
        expected = f"2 to {most} steps with {count} LRs: {MAX_PROBE_STEPS:,} in all"
        wrong.append(Violation("steps", str(steps), expected))
    stranger = next((index for index, name in enumerate(groups) if name not in known), None)
    if stranger is not None:
        expected = f"one of the groups ({', '.join(known)})"
        wrong.append(Violation(f"groups[{stranger}]", groups[stranger], expected))
    if wrong:
        raise InvalidRequest(wrong)


def report_of(
    found: Probed, learning_rates: Sequence[float], steps: int, groups: tuple[str, ...]
) -> ProbeReport:
    """Return what a probe found, and which LRs it speaks for."""
    trials = tuple(
        Trial(
            learning_rate=lr,
            used=found.used[index],
            guardrails=found.guardrails[index],
            losses=found.losses[index],
            end_loss=end_loss(found.losses[index], steps),
        )
        for index, lr in enumerate(learning_rates)
    )
    # A trial that a guardrail has bent was one of another LR.
    ends = {one.learning_rate: one.end_loss for one in trials if not one.guardrails}
    known = {lr: end for lr, end in ends.items() if end is not None}
    return ProbeReport(
        step=found.step,
        steps=steps,
        groups=groups,
        trials=trials,
        lowest=min(known, key=known.__getitem__, default=None),
        steepest=steepest_of(known),
        seconds=found.seconds,
        batches=found.batches,
    )


def end_loss(losses: Sequence[float], steps: int) -> float | None:
    """Return the loss at the end of a trial of so many steps; None where it was not finite."""
    if len(losses) < steps or not all(map(math.isfinite, losses)):
        return None
    last = losses[-max(1, steps // _END_SHARE) :]
    return math.fsum(last) / len(last)


def steepest_of(ends: dict[float, float]) -> float | None:
    """Return the LR at which the loss falls fastest over log(LR), up to where it is lowest.

    Each loss is smoothed with its neighbours' first, 1 : 2 : 1. None where there are fewer than
    three, or the loss falls nowhere.

    Args:
        ends: the loss at the end, by LR.
    """
    rates = sorted(ends)
    if len(rates) < 3:
        return None
    raw = [ends[lr] for lr in rates]
    padded = [raw[0], *raw, raw[-1]]
    smooth = [
        (before + 2 * here + after) / 4
        for before, here, after in zip(padded, padded[1:], padded[2:], strict=False)
    ]
    places = [math.log(lr) for lr in rates]
    lowest = smooth.index(min(smooth))
    slopes = {
        (smooth[index + 1] - smooth[index - 1]) / (places[index + 1] - places[index - 1]): lr
        for index, lr in list(enumerate(rates))[1:-1]
        if index <= lowest
    }
    steepest = min(slopes, default=0.0)
    return slopes[steepest] if steepest < 0 else None
