"""Up, along, and down: Hugging Face's name for it, the short one, and the trapezoid."""

from rheostat_policies.schedules.api import Curve, ScheduleRun
from rheostat_policies.schedules.checks import require
from rheostat_policies.schedules.durations import Duration, duration
from rheostat_policies.schedules.shapes import FALLS, Fall, FallName, cosine


def warmup_stable_decay(
    run: ScheduleRun,
    *,
    num_decay_steps: Duration,
    num_warmup_steps: Duration = 0,
    num_training_steps: Duration = "1dur",
    num_stable_steps: Duration | None = None,
    warmup_type: FallName = "linear",
    decay_type: FallName = "cosine",
    min_lr_ratio: float = 0.0,
    num_cycles: float = 0.5,
) -> Curve:
    """Rise to the LR, stay, then fall to `min_lr_ratio` of it.

        lr(t) = lr * (m + (1 - m) * rise(t / num_warmup_steps))                 in the warm-up
        lr(t) = lr                                                              in between
        lr(t) = lr * (m + (1 - m) * fall((t - decay start) / num_decay_steps))  in the decay
        fall  = 1 - p, (1 + cos(2 * pi * num_cycles * p)) / 2, or 1 - sqrt(p);  m = min_lr_ratio

    Source: transformers.get_wsd_schedule; Hu et al., "MiniCPM", arXiv 2404.06395

    Args:
        run: the run the curve is for.
        num_decay_steps: time of the fall.
        num_warmup_steps: time of the rise.
        num_training_steps: all three together; without effect beside `num_stable_steps`.
        num_stable_steps: time in between; None is what the other two leave.
        warmup_type: shape of the rise, the mirror image of a fall of this name.
        decay_type: shape of the fall.
        min_lr_ratio: LR at both ends as a share of the spec's, 0 to 1.
        num_cycles: waves of a cosine fall, >= 0; 0.5 ends at the bottom.

    Raises:
        ValueError: if an argument is out of its range, or the phases do not fit.

    >>> run = ScheduleRun(lr=1.0, steps=20, steps_per_epoch=4)
    >>> curve = warmup_stable_decay(run, num_warmup_steps=4, num_decay_steps=8)
    >>> [round(curve.learning_rate(step), 6) for step in (0, 2, 4, 12, 16, 20)]
    [0.0, 0.5, 1.0, 1.0, 0.5, 0.0]
    """
    warmup = duration(num_warmup_steps, run, "num_warmup_steps")
    decay = duration(num_decay_steps, run, "num_decay_steps")
    if num_stable_steps is None:
        total = duration(num_training_steps, run, "num_training_steps", least=1)
        require(
            warmup + decay <= total,
            "num_decay_steps",
            num_decay_steps,
            f"fit into the {total} steps beside a warm-up of {warmup}",
        )
        stable = total - warmup - decay
    else:
        stable = duration(num_stable_steps, run, "num_stable_steps")
    require(0 <= min_lr_ratio <= 1, "min_lr_ratio", min_lr_ratio, "be 0 to 1")
    require(num_cycles >= 0, "num_cycles", num_cycles, "be at least 0")
    mirrored = FALLS[warmup_type]
    fall = _waves(num_cycles) if decay_type == "cosine" else FALLS[decay_type]
    lr, least, height = run.lr, min_lr_ratio, 1.0 - min_lr_ratio
    start, end = warmup + stable, warmup + stable + decay

    def learning_rate(step: int) -> float:
        if step < warmup:
            return lr * (mirrored(1.0 - step / warmup) * height + least)
        if step < start:
            return lr
        if step < end:
            return lr * (fall((step - start) / decay) * height + least)
        return lr * least

    return Curve(learning_rate=learning_rate)


def wsd(
    run: ScheduleRun,
    *,
    warmup: Duration = 0,
    decay: Duration = "0.2dur",
    shape: FallName = "1-sqrt",
    min_lr: float = 0.0,
) -> Curve:
    """Rise evenly from 0, stay, then fall to `min_lr` at the end of the run.

        lr(t) = lr * t / warmup                                                 t < warmup
        lr(t) = lr                                                              until steps - decay
        lr(t) = min_lr + (lr - min_lr) * fall((t - (steps - decay)) / decay)    otherwise
        fall  = 1 - p, (1 + cos(pi * p)) / 2, or 1 - sqrt(p)

    Source: Hu et al., arXiv 2404.06395; the 1 - sqrt fall is Hägele et al., arXiv 2405.18392

    Args:
        run: the run the curve is for.
        warmup: time of the rise.
        decay: time of the fall.
        shape: shape of the fall.
        min_lr: LR at the end, 0 to the spec's LR.

    Raises:
        ValueError: if an argument is out of its range, or the phases do not fit.

    >>> curve = wsd(ScheduleRun(lr=1.0, steps=20, steps_per_epoch=4), warmup=4, decay=4)
    >>> [curve.learning_rate(step) for step in (0, 2, 4, 16, 17, 20)]
    [0.0, 0.5, 1.0, 1.0, 0.5, 0.0]
    """
    rise, down = duration(warmup, run, "warmup"), duration(decay, run, "decay")
    require(
        rise + down <= run.steps,
        "decay",
        decay,
        f"fit into the run's {run.steps} steps beside a warm-up of {rise}",
    )
    require(0 <= min_lr <= run.lr, "min_lr", min_lr, f"be 0 to the spec's lr of {run.lr}")
    lr, start, end, fall = run.lr, run.steps - down, run.steps, FALLS[shape]

    def learning_rate(step: int) -> float:
        if step < rise:
            return lr * (step / rise)
        if step < start:
            return lr
        if step < end:
            return min_lr + (lr - min_lr) * fall((step - start) / down)
        return min_lr

    return Curve(learning_rate=learning_rate)


def trapezoid(
    run: ScheduleRun,
    *,
    warmup: Duration = "0.1dur",
    decay: Duration = "0.2dur",
    min_lr: float = 0.0,
) -> Curve:
    """Rise evenly, stay, fall evenly: `wsd` with a linear fall.

        lr(t) = lr * t / warmup                                                 t < warmup
        lr(t) = lr                                                              until steps - decay
        lr(t) = min_lr + (lr - min_lr) * (steps - t) / decay                    otherwise

    Source: Xing et al., "A Walk with SGD", arXiv 1802.08770; modded-nanogpt

    Args:
        run: the run the curve is for.
        warmup: time of the rise.
        decay: time of the fall.
        min_lr: LR at the end, 0 to the spec's LR.

    Raises:
        ValueError: if an argument is out of its range, or the phases do not fit.

    >>> curve = trapezoid(ScheduleRun(lr=1.0, steps=20, steps_per_epoch=4))
    >>> [curve.learning_rate(step) for step in (0, 1, 2, 16, 18, 20)]
    [0.0, 0.5, 1.0, 1.0, 0.5, 0.0]
    """
    return wsd(run, warmup=warmup, decay=decay, shape="linear", min_lr=min_lr)


def _waves(num_cycles: float) -> Fall:
    halves = 2.0 * num_cycles
    return lambda progress: cosine(halves * progress)
