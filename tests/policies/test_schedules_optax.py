"""optax's schedules equal optax's own in double precision, at every step."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rheostat_policies import SCHEDULES, ScheduleRun

jax = pytest.importorskip("jax", reason="compares with optax, which needs jax")
optax = pytest.importorskip("optax", reason="compares with optax, which is not installed")

LRS = st.floats(1e-6, 1e3)
COUNTS = st.integers(1, 60)
SHARES = st.floats(0.01, 1)
SCALES = st.dictionaries(COUNTS, st.floats(0, 2), min_size=1, max_size=4)
CYCLE = st.builds(
    lambda warmup, more, peak: {
        "init_value": 0.0,
        "warmup_steps": warmup,
        "decay_steps": warmup + more,
        "peak_value": peak,
        "end_value": peak / 10,
    },
    st.integers(0, 10),
    st.integers(1, 30),
    LRS,
)
CASES: dict[str, dict[str, Any]] = {
    "polynomial_schedule": {
        "init_value": LRS,
        "end_value": st.floats(0, 1e3),
        "power": st.floats(0.1, 5),
        "transition_steps": COUNTS,
        "transition_begin": st.integers(0, 20),
    },
    "linear_schedule": {
        "init_value": LRS,
        "end_value": st.floats(0, 1e3),
        "transition_steps": COUNTS,
        "transition_begin": st.integers(0, 20),
    },
    "exponential_decay": {
        "init_value": LRS,
        "transition_steps": COUNTS,
        "decay_rate": st.floats(0.05, 2),
        "transition_begin": st.integers(0, 20),
        "staircase": st.booleans(),
        "end_value": st.none() | st.floats(0, 10),
    },
    "cosine_decay_schedule": {
        "init_value": LRS,
        "decay_steps": COUNTS,
        "alpha": st.floats(0, 1),
        "exponent": st.floats(0.5, 3),
    },
    "piecewise_constant_schedule": {"init_value": LRS, "boundaries_and_scales": SCALES},
    "piecewise_interpolate_schedule": {
        "interpolate_type": st.sampled_from(["linear", "cosine"]),
        "init_value": LRS,
        "boundaries_and_scales": SCALES,
    },
    "linear_onecycle_schedule": {
        "transition_steps": COUNTS,
        "peak_value": LRS,
        "pct_start": st.floats(0, 0.5),
        "pct_final": st.floats(0.5, 1),
        "div_factor": st.floats(1, 100),
        "final_div_factor": st.floats(1, 1e5),
    },
    "cosine_onecycle_schedule": {
        "transition_steps": COUNTS,
        "peak_value": LRS,
        "pct_start": st.floats(0, 1),
        "div_factor": st.floats(1, 100),
        "final_div_factor": st.floats(1, 1e5),
    },
    "warmup_constant_schedule": {
        "init_value": st.floats(0, 1),
        "peak_value": LRS,
        "warmup_steps": COUNTS,
    },
    "warmup_cosine_decay_schedule": {
        "init_value": st.floats(0, 1),
        "peak_value": LRS,
        "warmup_steps": st.integers(0, 20),
        "decay_steps": st.integers(21, 90),
        "end_value": st.floats(0, 1e-6),
        "exponent": st.floats(0.5, 3),
    },
    "warmup_exponential_decay_schedule": {
        "init_value": st.floats(0, 1),
        "peak_value": LRS,
        "warmup_steps": COUNTS,
        "transition_steps": COUNTS,
        "decay_rate": st.floats(0.05, 2),
        "transition_begin": st.integers(0, 20),
        "staircase": st.booleans(),
        "end_value": st.none() | st.floats(0, 10),
    },
    "sgdr_schedule": {"cosine_kwargs": st.lists(CYCLE, min_size=1, max_size=3)},
}


@pytest.mark.parametrize("name", CASES)
@given(data=st.data())
@settings(max_examples=15)
def test_the_lr_is_optaxs_at_every_step(
    assert_same_lr: Any, name: str, data: st.DataObject
) -> None:
    args = data.draw(st.fixed_dictionaries(CASES[name]))
    with jax.enable_x64(True):
        theirs = getattr(optax, name)(**args)
        # One by one: over an array XLA multiplies by 1 / steps, and 49 * (1 / 49) is below 1.
        expected = [float(theirs(float(step))) for step in range(70)]

    run = ScheduleRun(lr=1.0, steps=70, steps_per_epoch=10)
    curve = SCHEDULES[f"optax.{name}"](run, **args)

    assert_same_lr(curve, expected, max(1.0, *expected))


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("linear_schedule", {"end_value": 0.0}),
        ("cosine_decay_schedule", {}),
        ("warmup_cosine_decay_schedule", {"warmup_steps": "1ep"}),
        ("linear_onecycle_schedule", {}),
        ("piecewise_constant_schedule", {"boundaries_and_scales": {"2ep": 0.5}}),
    ],
)
def test_the_specs_lr_stands_where_optax_wants_a_number(name: str, args: dict[str, Any]) -> None:
    small, large = (
        SCHEDULES[f"optax.{name}"](ScheduleRun(lr=lr, steps=50, steps_per_epoch=10), **args)
        for lr in (0.1, 0.3)
    )

    for step in range(60):
        assert large.learning_rate(step) == pytest.approx(3 * small.learning_rate(step))
