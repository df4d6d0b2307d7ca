"""Torch's schedules that come back up equal torch's own, at every step."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import SGD, Adam, lr_scheduler

from rheostat_policies import SCHEDULES, ScheduleRun

LRS = st.floats(1e-8, 1e3)
STEPS = st.integers(1, 150)


def a_run(lr: float, steps: int) -> ScheduleRun:
    return ScheduleRun(lr=lr, steps=steps, steps_per_epoch=10)


def thirds(cycle: float) -> float:
    return 1.0 / (3.0 * cycle + 1.0)


@given(lr=LRS, steps=STEPS, half=st.integers(1, 60), floor=st.floats(0, 1.5))
def test_cosine_annealing_turns_back_as_torchs_does(
    torch_says: Any, lr: float, steps: int, half: int, floor: float
) -> None:
    args = {"T_max": half, "eta_min": lr * floor}
    expected = torch_says(
        lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, **args), lr, steps
    )

    curve = SCHEDULES["CosineAnnealingLR"](a_run(lr, steps), **args)

    for step, (theirs, _) in enumerate(expected):  # which drifts, one product per step
        assert curve.learning_rate(step) == pytest.approx(theirs, rel=1e-9, abs=1e-10 * lr)


@given(lr=LRS, steps=STEPS, first=st.integers(1, 40), mult=st.integers(1, 4), floor=st.floats(0, 1))
def test_warm_restarts_are_torchs(
    torch_says: Any,
    assert_same_lr: Any,
    lr: float,
    steps: int,
    first: int,
    mult: int,
    floor: float,
) -> None:
    args = {"T_0": first, "T_mult": mult, "eta_min": lr * floor}
    expected = torch_says(
        lambda optimizer: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, **args), lr, steps
    )

    curve = SCHEDULES["CosineAnnealingWarmRestarts"](a_run(lr, steps), **args)

    assert_same_lr(curve, [each for each, _ in expected], lr)


@given(first=st.integers(1, 50), mult=st.integers(2, 9), cycle=st.integers(0, 12))
def test_warm_restarts_come_exactly_where_whole_numbers_say(
    first: int, mult: int, cycle: int
) -> None:
    curve = SCHEDULES["CosineAnnealingWarmRestarts"](a_run(1.0, 100), T_0=first, T_mult=mult)
    restart = first * (mult**cycle - 1) // (mult - 1)

    assert curve.learning_rate(restart) == 1.0
    if restart > 1:
        assert curve.learning_rate(restart - 1) < 1.0 or first * mult ** (cycle - 1) == 1


@given(
    lr=LRS,
    steps=STEPS,
    bottom=st.floats(0, 1),
    up=st.integers(1, 40),
    down=st.none() | st.integers(1, 40),
    mode=st.sampled_from(["triangular", "triangular2", "exp_range"]),
    gamma=st.floats(0.9, 1),
    scale=st.none() | st.sampled_from(["cycle", "iterations"]),
    momenta=st.tuples(st.floats(0, 0.8), st.floats(0.81, 0.99)),
    adam=st.booleans(),
)
def test_cyclic_lr_is_torchs_with_its_momentum(
    torch_says: Any,
    assert_same_lr: Any,
    lr: float,
    steps: int,
    bottom: float,
    up: int,
    down: int | None,
    mode: str,
    gamma: float,
    scale: str | None,
    momenta: tuple[float, float],
    adam: bool,
) -> None:
    args: dict[str, Any] = {
        "base_lr": lr * bottom,
        "max_lr": lr,
        "step_size_up": up,
        "step_size_down": down,
        "mode": mode,
        "gamma": gamma,
        "base_momentum": momenta[0],
        "max_momentum": momenta[1],
    }
    if scale is not None:
        args |= {"scale_fn": thirds, "scale_mode": scale}
    expected = torch_says(
        lambda optimizer: lr_scheduler.CyclicLR(optimizer, **args),
        lr,
        steps,
        **({"optimizer": Adam} if adam else {"optimizer": SGD, "momentum": 0.9}),
    )

    curve = SCHEDULES["CyclicLR"](a_run(lr, steps), **args)

    assert_same_lr(curve, [each for each, _ in expected], lr)
    assert curve.momentum is not None
    for step, (_, momentum) in enumerate(expected):
        assert curve.momentum(step) == pytest.approx(momentum, rel=1e-12), step


def test_cyclic_lr_leaves_momentum_alone_when_told_to() -> None:
    assert SCHEDULES["CyclicLR"](a_run(1.0, 9), base_lr=0.1, cycle_momentum=False).momentum is None


def test_cyclic_lr_tops_out_at_the_specs_lr_unless_it_is_told_another() -> None:
    curve = SCHEDULES["CyclicLR"](a_run(0.4, 9), base_lr=0.1, step_size_up=3)

    assert max(curve.learning_rate(step) for step in range(9)) == 0.4


@given(epochs=st.integers(1, 9), steps_per_epoch=st.integers(1, 9))
def test_one_cycle_may_be_as_long_as_epochs_say(
    torch_says: Any, assert_same_lr: Any, epochs: int, steps_per_epoch: int
) -> None:
    args = {"max_lr": 0.5, "epochs": epochs, "steps_per_epoch": steps_per_epoch, "pct_start": 0.45}
    try:
        expected = torch_says(
            lambda optimizer: lr_scheduler.OneCycleLR(optimizer, **args),
            0.5,
            epochs * steps_per_epoch,
            momentum=0.9,
        )
    except ZeroDivisionError:
        return  # torch cannot make a phase of no length; ours can

    curve = SCHEDULES["OneCycleLR"](a_run(0.1, 1000), **args)

    assert_same_lr(curve, [each for each, _ in expected], 0.5)
