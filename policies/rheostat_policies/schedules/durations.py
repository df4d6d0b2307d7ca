"""How long something takes, in whatever unit its author thinks in."""

import math
import re

from rheostat_policies.schedules.api import ScheduleRun

Duration = int | str
"""Optimizer steps; or text with a unit: "200st", "10ep", "5000sa", "0.1dur"."""

_WRITTEN = re.compile(r"(?P<amount>(\d+\.?\d*|\.\d+)(e[+-]?\d+)?) ?(?P<unit>[a-z]*)")


def duration(value: Duration, run: ScheduleRun, name: str = "duration", *, least: int = 0) -> int:
    """Return a duration in optimizer steps, to the nearest whole one.

    The units are `st` (optimizer steps, also where none is written), `ep` (passes over the
    training data), `sa` (samples) and `dur` (shares of the planned run, so `1dur` is all of it).

    Args:
        value: steps, or text with a unit.
        run: the run whose epochs, batches and length are meant.
        name: the argument that is parsed, for the error.
        least: the fewest steps that make sense.

    Raises:
        ValueError: if the text is not a number and a unit, or stands for fewer steps than `least`.

    >>> run = ScheduleRun(lr=0.1, steps=1000, steps_per_epoch=50, batch_size=32)
    >>> [duration(each, run) for each in (70, "70", "70st", "2.5ep", "3200sa", "0.1dur")]
    [70, 70, 70, 125, 100, 100]
    """
    if isinstance(value, int):
        steps = value
    else:
        written = _WRITTEN.fullmatch(value)
        steps_in = {
            "": 1.0,
            "st": 1.0,
            "ep": float(run.steps_per_epoch),
            "sa": 1.0 / run.batch_size,
            "dur": float(run.steps),
        }
        if written is None or written["unit"] not in steps_in:
            raise ValueError(
                f"{name}={value} must be a number of optimizer steps, "
                'or a number with its unit: "200st", "10ep", "5000sa" (samples), "0.1dur"'
            )
        steps = math.floor(float(written["amount"]) * steps_in[written["unit"]] + 0.5)
    if steps < least:
        meant = "" if isinstance(value, int) else f", and is {steps}"
        unit = "step" if least == 1 else "steps"
        raise ValueError(f"{name}={value} must be at least {least} optimizer {unit}{meant}")
    return steps
