"""Every schedule that comes from torch equals torch's own, at every step, to 1e-12."""

import math
import warnings
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler
from torch.optim.lr_scheduler import OneCycleLR as TorchOneCycleLR
from torch.optim.lr_scheduler import StepLR as TorchStepLR

from rheostat_policies import Curve, OneCycleLR, ScheduleRun, StepLR, constant, warmup_cosine

LRS = st.floats(1e-8, 1e3)
STEPS = st.integers(1, 120)


def torch_says(optimizer: Optimizer, scheduler: LRScheduler, steps: int) -> list[tuple[float, Any]]:
    """LR and momentum that torch's optimizer has in each step."""
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch wants optimizer.step() in between
        for step in range(steps):
            group = optimizer.param_groups[0]
            momentum = group["betas"][0] if "betas" in group else group.get("momentum")
            seen.append((float(group["lr"]), momentum))
            if step + 1 < steps:
                scheduler.step()
    return seen


def a_run(lr: float, steps: int, **fields: Any) -> ScheduleRun:
    return ScheduleRun(lr=lr, steps=steps, steps_per_epoch=10, **fields)


def an_optimizer(lr: float, cls: type[Optimizer] = SGD, **args: Any) -> Optimizer:
    return cls([torch.nn.Parameter(torch.zeros(1))], lr=lr, **args)


def assert_same_lr(curve: Curve, expected: list[tuple[float, Any]]) -> None:
    for step, (lr, _) in enumerate(expected):
        assert curve.learning_rate(step) == pytest.approx(lr, rel=1e-12, abs=1e-300), step


@given(lr=LRS, steps=STEPS)
def test_constant_never_moves(lr: float, steps: int) -> None:
    curve = constant(a_run(lr, steps))

    assert {curve.learning_rate(step) for step in range(2 * steps)} == {lr}


@given(lr=LRS, steps=STEPS, step_size=st.integers(1, 50), gamma=st.floats(0.1, 1.5))
@settings(deadline=None)
def test_step_lr_is_torchs(lr: float, steps: int, step_size: int, gamma: float) -> None:
    optimizer = an_optimizer(lr)
    scheduler = TorchStepLR(optimizer, step_size=step_size, gamma=gamma)

    curve = StepLR(a_run(lr, steps), step_size=step_size, gamma=gamma)

    assert_same_lr(curve, torch_says(optimizer, scheduler, steps))


@given(
    lr=LRS,
    steps=st.integers(2, 120),
    pct_start=st.floats(0.05, 0.95),
    anneal_strategy=st.sampled_from(["cos", "linear"]),
    momenta=st.tuples(st.floats(0.1, 0.8), st.floats(0.81, 0.99)),
    div_factor=st.floats(1.5, 100),
    final_div_factor=st.floats(1.5, 1e5),
    three_phase=st.booleans(),
    adam=st.booleans(),
)
@settings(deadline=None, max_examples=200)
def test_one_cycle_is_torchs_with_its_momentum(
    lr: float,
    steps: int,
    pct_start: float,
    anneal_strategy: Any,
    momenta: tuple[float, float],
    div_factor: float,
    final_div_factor: float,
    three_phase: bool,
    adam: bool,
) -> None:
    args: dict[str, Any] = {
        "pct_start": pct_start / 2 if three_phase else pct_start,
        "anneal_strategy": anneal_strategy,
        "base_momentum": momenta[0],
        "max_momentum": momenta[1],
        "div_factor": div_factor,
        "final_div_factor": final_div_factor,
        "three_phase": three_phase,
    }
    optimizer = an_optimizer(lr, Adam) if adam else an_optimizer(lr, momentum=0.9)
    try:
        scheduler = TorchOneCycleLR(optimizer, max_lr=lr, total_steps=steps, **args)
        expected = torch_says(optimizer, scheduler, steps)
    except ZeroDivisionError:
        return  # torch cannot make a phase of no length; ours can

    curve = OneCycleLR(a_run(lr, steps), **args)

    assert_same_lr(curve, expected)
    assert curve.momentum is not None
    for step, (_, momentum) in enumerate(expected):
        assert curve.momentum(step) == pytest.approx(momentum, rel=1e-12), step


def test_one_cycle_leaves_momentum_alone_when_told_to() -> None:
    assert OneCycleLR(a_run(1.0, 10), cycle_momentum=False).momentum is None


def test_one_cycle_stays_at_its_end_where_torch_raises() -> None:
    curve = OneCycleLR(a_run(1.0, 10))

    assert curve.learning_rate(10) == curve.learning_rate(9) == curve.learning_rate(10**6)


@given(lr=LRS, steps=st.integers(1, 120), share=st.floats(0, 1))
@settings(deadline=None)
def test_warmup_cosine_is_the_cosine_of_hugging_face(lr: float, steps: int, share: float) -> None:
    warmup = int(share * steps)

    def multiplier(step: int) -> float:  # transformers.get_cosine_schedule_with_warmup
        if step < warmup:
            return step / max(1, warmup)
        progress = (step - warmup) / max(1, steps - warmup)
        return max(0.0, 0.5 * (1.0 + math.cos(math.pi * 0.5 * 2.0 * progress)))

    optimizer = an_optimizer(lr)
    expected = torch_says(optimizer, LambdaLR(optimizer, multiplier), steps)

    curve = warmup_cosine(a_run(lr, steps), warmup_steps=warmup)

    assert_same_lr(curve, expected)


@given(lr=LRS, steps=st.integers(2, 120), floor=st.floats(0, 0.99))
@settings(deadline=None)
def test_warmup_cosine_without_warmup_is_torchs_closed_form(
    lr: float, steps: int, floor: float
) -> None:
    optimizer = an_optimizer(lr)
    scheduler = CosineAnnealingLR(optimizer, T_max=steps, eta_min=lr * floor)

    curve = warmup_cosine(a_run(lr, steps), min_lr=lr * floor)

    for step in range(steps):
        scheduler.last_epoch = step
        [expected] = scheduler._get_closed_form_lr()
        assert curve.learning_rate(step) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda run: StepLR(run, step_size=0), "step_size=0"),
        (lambda run: StepLR(run, step_size=5, gamma=0.0), "gamma=0.0"),
        (lambda run: OneCycleLR(run, pct_start=1.5), "pct_start=1.5"),
        (lambda run: OneCycleLR(run, pct_start=0.6, three_phase=True), "pct_start=0.6"),
        (lambda run: OneCycleLR(run, max_lr=-1.0), "max_lr=-1.0"),
        (lambda run: OneCycleLR(run, total_steps=0), "total_steps=0"),
        (lambda run: OneCycleLR(run, div_factor=0.0), "div_factor=0.0"),
        (lambda run: warmup_cosine(run, warmup_steps=11), "warmup_steps=11"),
        (lambda run: warmup_cosine(run, min_lr=2.0), "min_lr=2.0"),
    ],
)
def test_an_argument_out_of_range_is_named_with_its_value(make: Any, field: str) -> None:
    with pytest.raises(ValueError, match=field):
        make(a_run(1.0, 10))


def test_one_cycle_refuses_a_peak_of_its_own_beside_a_groups_own_lr() -> None:
    with pytest.raises(ValueError, match="lr_scale"):
        OneCycleLR(a_run(0.1, 10, lr_is_own=True), max_lr=0.5)
