"""Schedules that come from papers follow the papers' formulas."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytorch_optimizer.lr_scheduler.chebyshev import get_chebyshev_lr_lambda

from rheostat_policies import SCHEDULES, ScheduleRun

LRS = st.floats(1e-6, 1e3)
STEPS = st.integers(1, 200)


def a_run(lr: float, steps: int, batch_size: int = 1) -> ScheduleRun:
    return ScheduleRun(lr=lr, steps=steps, steps_per_epoch=10, batch_size=batch_size)


@given(lr=LRS, steps=STEPS, floor=st.floats(0, 1))
def test_rex_is_pytorch_optimizers_formula(lr: float, steps: int, floor: float) -> None:
    least = lr * floor

    rate = SCHEDULES["rex"](a_run(lr, steps), min_lr=least).learning_rate

    for step in range(steps):
        p = step / steps
        expected = least + (lr - least) * ((1.0 - p) / (1.0 - p / 2.0))
        assert rate(step) == pytest.approx(expected, rel=1e-12)
    assert rate(steps) == rate(10**9) == least


@given(lr=LRS, steps=STEPS, lower=st.floats(-9, -1), upper=st.floats(0, 5))
def test_tanh_is_the_papers_formula(lr: float, steps: int, lower: float, upper: float) -> None:
    rate = SCHEDULES["tanh"](a_run(lr, steps), lb=lower, ub=upper).learning_rate

    for step in range(steps):
        p = step / steps
        expected = lr / 2 * (1 - math.tanh(lower * (1 - p) + upper * p))
        assert rate(step) == pytest.approx(expected, rel=1e-12, abs=1e-13 * lr)


@given(lr=LRS, batch=st.integers(1, 512), tokens=st.integers(1, 4096))
def test_power_does_not_ask_how_long_the_run_is(lr: float, batch: int, tokens: int) -> None:
    short, long = (
        SCHEDULES["power"](a_run(lr, steps, batch), tokens_per_sample=tokens, warmup=7)
        for steps in (50, 5000)
    )

    for step in range(7, 100):
        seen = (step + 1) * batch * tokens
        expected = min(lr, batch * 4.6 * seen**-0.51)
        assert short.learning_rate(step) == pytest.approx(expected, rel=1e-12)
        assert short.learning_rate(step) == long.learning_rate(step)


@pytest.mark.parametrize("shape", ["inverse_sqrt", "cosine"])
@given(lr=LRS, share=st.floats(0.01, 1), least=st.just(0.0) | st.floats(1e-6, 1))
def test_infinite_cools_down_stays_and_anneals(
    shape: str, lr: float, share: float, least: float
) -> None:
    level = lr * share
    rate = SCHEDULES["infinite"](
        a_run(lr, 100),
        constant_lr=level,
        warmup=10,
        cooldown=40,
        anneal=20,
        min_lr=level * least,
        cooldown_shape=shape,
    ).learning_rate

    down = [rate(step) for step in range(10, 51)]
    assert [rate(0), rate(5)] == [0.0, pytest.approx(lr / 2)]
    assert down[0] == pytest.approx(lr)
    assert all(early >= late * (1 - 1e-12) for early, late in pairwise(down))
    assert {rate(step) for step in range(50, 80)} == {level}
    assert rate(90) == pytest.approx(level * (math.sqrt(least) if least else 0.5))
    assert rate(100) == rate(10**9) == level * least


def test_infinite_cools_down_as_fast_as_ibrahim_et_al() -> None:
    rate = SCHEDULES["infinite"](
        a_run(1.0, 100), constant_lr=0.5, warmup=0, cooldown=40, anneal=0
    ).learning_rate

    def h(x: float) -> float:
        return 1 / math.sqrt(1 + 10 * x) - 1

    for step in range(40):
        assert rate(step) == pytest.approx(1.0 + (0.5 - 1.0) / h(1) * h(step / 40), rel=1e-12)


@given(lr=LRS, steps=STEPS, data=st.data())
def test_a_trapezoid_is_a_wsd_with_straight_sides(
    lr: float, steps: int, data: st.DataObject
) -> None:
    decay = data.draw(st.integers(0, steps))
    warmup = data.draw(st.integers(0, steps - decay))
    run = a_run(lr, steps)

    sides = SCHEDULES["trapezoid"](run, warmup=warmup, decay=decay)
    wsd = SCHEDULES["wsd"](run, warmup=warmup, decay=decay, shape="linear")

    for step in range(2 * steps):
        assert sides.learning_rate(step) == wsd.learning_rate(step)


@given(lr=LRS, nodes=st.integers(1, 300), warms_up=st.booleans())
def test_chebyshev_is_pytorch_optimizers_schedule(lr: float, nodes: int, warms_up: bool) -> None:
    args = {"num_epochs": nodes, "is_warmup": warms_up}

    rate = SCHEDULES["chebyshev"](a_run(lr, 1000), **args).learning_rate

    for step in [*range(0, nodes, 1 + nodes // 20), nodes + 5]:
        expected = lr * float(get_chebyshev_lr_lambda(step, nodes, warms_up))
        assert rate(step) == pytest.approx(expected, rel=1e-12)
