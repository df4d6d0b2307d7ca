"""The LRs of a run that was steered, as a schedule for runs to come."""

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from rheostat_policies.schedules.api import Curve, ScheduleRun
from rheostat_policies.schedules.checks import require
from rheostat_policies.schedules.durations import Duration, duration
from rheostat_policies.schedules.lookup import Part, make_part
from rheostat_policies.schedules.segments import (
    NoScaleError,
    Segment,
    refitted,
    rewarmed,
    swapped,
)

Edit = Mapping[str, Any]
"""One edit of the schedule: `step` and `verb`, and what the verb takes."""

_EDITS: Mapping[str, tuple[set[str], set[str]]] = {
    "swap": ({"schedule"}, {"rescale"}),
    "horizon": ({"steps"}, {"rescale"}),
    "rewarm": ({"steps"}, {"ratio"}),
}
"""What each verb must have and may have."""


def recorded(
    run: ScheduleRun,
    *,
    schedule: Part,
    steps: Duration = "1dur",
    edits: Sequence[Edit] = (),
    lr_scale: float = 1.0,
    gains: Sequence[tuple[int, float]] = (),
    rates: Sequence[tuple[int, int | None, float]] = (),
    group: str = "",
) -> Curve:
    """Repeat what a steered run did: its schedule with every edit, times what others made of it.

        lr(t) = rate                              from <= t < to, for an entry of rates
        lr(t) = edited(t) * lr_scale * gain(t)    otherwise

    `edited` is the schedule as the edits leave it, each with the meaning of the verb of that name:
    a `swap` takes a `schedule` that starts at the LR of the step before (not with `rescale: false`)
    and lasts for the rest of the run; a `horizon` makes the present one anew for so many `steps` of
    the whole run, scaled to go on from where it is (not with `rescale: false`); a `rewarm`
    multiplies by a linear rise from `ratio` (0 by default) to 1 over so many `steps`.

    Source: `rheostat lr history RUN --export FILE` writes it

    Args:
        run: the run the curve is for.
        schedule: the one that the run began with, `{name, args}`.
        steps: planned length of the run before any edit, at least 1 step.
        edits: what was done to the schedule, each `{step, verb, ...}`, in their order.
        lr_scale: the param group's, where this is its schedule and it has none itself.
        gains: `[step, gain]` each: the product of all policies and operators from that step on.
        rates: `[from, to, LR]` each: steps whose LR was held, or bent by a guardrail; `to` is not
            one of them, and null is for ever.
        group: the param group that it was recorded of; for people, and to tell groups apart.

    Raises:
        ValueError: if a schedule refuses, an edit is not one, or entries are not in order.

    >>> curve = recorded(
    ...     ScheduleRun(lr=1.0, steps=8, steps_per_epoch=4),
    ...     schedule={"name": "constant"},
    ...     edits=[{"step": 4, "verb": "swap", "schedule": {"name": "rex"}}],
    ...     gains=[(1, 0.5)],
    ...     rates=[(2, 3, 0.25)],
    ... )
    >>> [round(curve.learning_rate(step), 6) for step in (0, 1, 2, 3, 4, 6)]
    [1.0, 0.5, 0.25, 0.5, 0.5, 0.333333]
    """
    segments = _segments(run, schedule, duration(steps, run, "steps", least=1), edits)
    require(lr_scale > 0, "lr_scale", lr_scale, "be greater than 0")
    gain_steps, gain_values = _check_gains(gains)
    begins, ends, values = _check_rates(rates)
    starts = [start for start, _ in segments]
    edited = [segment.learning_rate for _, segment in segments]

    def learning_rate(step: int) -> float:
        stretch = bisect_right(begins, step) - 1
        if stretch >= 0 and step < ends[stretch]:
            return values[stretch]
        base = edited[bisect_right(starts, step) - 1](step) * lr_scale
        # Multiplied in the order of the composition law, to give the same LR to the last bit.
        return base * gain_values[bisect_right(gain_steps, step)]

    return Curve(learning_rate=learning_rate, momentum=_momentum_of(segments))


def _segments(
    run: ScheduleRun, part: Part, planned: int, edits: Sequence[Edit]
) -> list[tuple[int, Segment]]:
    """Return the segments, each with the first step that it acts on."""
    present = Segment(curve=make_part(part, replace(run, steps=planned), "schedule"))
    segments = [(0, present)]
    for index, edit in enumerate(edits):
        path = f"edits[{index}]"
        step, verb = _check_edit(edit, path, after=segments[-1][0])
        if verb == "rewarm":
            present = rewarmed(present, step, steps=edit["steps"], start=edit.get("ratio", 0.0))
        else:
            change, origin = refitted, present.origin
            if verb == "swap":
                change, origin, part = swapped, step, edit["schedule"]
            else:
                planned = edit["steps"]
            length = max(1, planned - origin)
            curve = make_part(part, replace(run, steps=length), f"{path}.schedule")
            # Without an LR there is nothing to scale to: it is told when the run is built.
            rescale = edit.get("rescale", True) and math.isfinite(run.lr)
            try:
                present = change(present, curve, step, rescale=rescale)
            except NoScaleError as error:
                raise ValueError(f"{path}={dict(edit)} must have rescale: false; {error}") from None
        segments.append((step, present))
    return segments


def _check_edit(edit: Edit, path: str, *, after: int) -> tuple[int, str]:
    """Return an edit's step and verb, if all is there that the verb needs, and nothing else."""
    verb, step = edit.get("verb"), edit.get("step")
    known = ", ".join(_EDITS)
    require(verb in _EDITS, f"{path}.verb", verb, f"be one of {known}")
    needed, possible = _EDITS[str(verb)]
    keys = {"step", "verb", *needed}
    wish = f"have {', '.join(sorted(keys))}, may have {', '.join(possible)}, and nothing else"
    require(keys <= set(edit) <= keys | possible, path, dict(edit), wish)
    require(
        isinstance(step, int) and step >= after, f"{path}.step", step, f"be a step from {after} on"
    )
    if "steps" in needed:
        steps = edit["steps"]
        require(isinstance(steps, int) and steps >= 1, f"{path}.steps", steps, "be at least 1")
    ratio = edit.get("ratio", 0.0)
    require(0 <= ratio <= 1, f"{path}.ratio", ratio, "be 0 to 1")
    return edit["step"], str(verb)


def _check_gains(gains: Sequence[tuple[int, float]]) -> tuple[list[int], list[float]]:
    """Return the steps at which the gain changes, and the gain before each and after the last."""
    steps = [step for step, _ in gains]
    require(_rises(steps), "gains", list(gains), "rise in their steps")
    for step, gain in gains:
        require(0 <= gain < math.inf, "gains", [step, gain], "have a gain of at least 0")
    return steps, [1.0, *(float(gain) for _, gain in gains)]


def _check_rates(
    rates: Sequence[tuple[int, int | None, float]],
) -> tuple[list[int], list[float], list[float]]:
    """Return where stretches begin, where they end, and their LRs."""
    begins = [begin for begin, _, _ in rates]
    ends = [math.inf if end is None else end for _, end, _ in rates]
    for entry, begin, end in zip(rates, begins, ends, strict=True):
        require(0 <= begin < end, "rates", list(entry), "begin before it ends")
        require(0 <= entry[2] < math.inf, "rates", list(entry), "have an LR of at least 0")
    in_order = all(end <= begin for end, begin in zip(ends, begins[1:], strict=False))
    require(in_order, "rates", [list(entry) for entry in rates], "begin where others have ended")
    return begins, ends, [float(rate) for _, _, rate in rates]


def _rises(steps: Sequence[int]) -> bool:
    return all(early < late for early, late in pairwise(steps))


def _momentum_of(segments: Sequence[tuple[int, Segment]]) -> Callable[[int], float | None] | None:
    """Return the momentum that the segments ask for, None where none of them moves it.

    At the steps of one that does not, it is the optimizer's own.
    """
    ends = [*(start for start, _ in segments[1:]), math.inf]
    moved = [
        (start, end, segment.origin, segment.curve.momentum)
        for (start, segment), end in zip(segments, ends, strict=True)
        if segment.curve.momentum is not None and start < end
    ]
    if not moved:
        return None
    begins = [start for start, _, _, _ in moved]

    def momentum(step: int) -> float | None:
        index = bisect_right(begins, step) - 1
        if index < 0:
            return None
        _, end, origin, value = moved[index]
        return value(step - origin) if step < end else None

    return momentum
