"""What every built-in schedule keeps to."""

import doctest
import importlib
import inspect
import math
import pkgutil
import random
import time
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rheostat_policies.schedules
from rheostat.spec.arguments import check_arguments
from rheostat_policies import SCHEDULES, ScheduleRun
from rheostat_policies.schedules.examples import EXAMPLE_RUN, EXAMPLES

MODULES = [
    f"rheostat_policies.schedules.{module.name}"
    for module in pkgutil.iter_modules(rheostat_policies.schedules.__path__)
]
FAR = st.one_of(st.integers(0, 200), st.integers(0, 10**12))
WRONG: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "constant": ({"lr": 1.0}, "unexpected keyword argument 'lr'"),
    "warmup_cosine": ({"warmup_steps": 101}, "warmup_steps=101 must"),
    "wsd": ({"decay": "1.1dur"}, "decay=1.1dur must fit"),
    "trapezoid": ({"min_lr": 0.2}, r"min_lr=0.2 must be 0 to the spec's lr of 0.1"),
    "rex": ({"min_lr": 0.2}, "min_lr=0.2 must"),
    "tanh": ({"lb": 3.0}, "lb=3.0 must be below ub=3.0"),
    "chebyshev": ({"num_epochs": 0}, "num_epochs=0 must be at least 1"),
    "power": ({"b": 0.5}, "b=0.5 must"),
    "infinite": ({"constant_lr": 0.2}, "constant_lr=0.2 must"),
    "sequence": ({"schedules": [], "milestones": []}, r"schedules=\[\] must"),
    "chain": ({"schedules": []}, r"schedules=\[\] must"),
    "warmup": ({"steps": -1, "schedule": {"name": "rex"}}, "steps=-1 must"),
    "recorded": (
        {"schedule": {"name": "rex"}, "edits": [{"step": 1, "verb": "stop"}]},
        r"edits\[0\].verb=stop must be one of",
    ),
    "LambdaLR": ({"lr_lambda": "sqrt"}, "lr_lambda=sqrt must be a known name, or package"),
    "MultiplicativeLR": ({"lr_lambda": "math:pi"}, "lr_lambda=math:pi must be a function"),
    "StepLR": ({"step_size": 0}, "step_size=0 must"),
    "MultiStepLR": ({"milestones": [-1]}, "milestones=-1 must"),
    "ConstantLR": ({"factor": 2.0}, "factor=2.0 must be 0 to 1"),
    "LinearLR": ({"start_factor": 0.0}, "start_factor=0.0 must be above 0 to 1"),
    "ExponentialLR": ({"gamma": 0.0}, "gamma=0.0 must"),
    "PolynomialLR": ({"power": -1.0}, "power=-1.0 must"),
    "CosineAnnealingLR": ({"eta_min": -0.1}, "eta_min=-0.1 must"),
    "CosineAnnealingWarmRestarts": ({"T_0": 5, "T_mult": 0}, "T_mult=0 must"),
    "CyclicLR": ({"base_lr": 0.2}, "base_lr=0.2 must be 0 to the top of 0.1"),
    "OneCycleLR": ({"epochs": 0}, "epochs=0 must"),
    "SWALR": ({"swa_lr": -1.0}, "swa_lr=-1.0 must"),
    "SequentialLR": ({"schedulers": [{"name": "rex"}], "milestones": [1]}, "milestones="),
    "ChainedScheduler": ({"schedulers": [{"name": "nothing"}]}, r"schedulers\[0\].name=nothing"),
    "linear": ({"num_warmup_steps": "10x"}, "num_warmup_steps=10x must"),
    "constant_with_warmup": ({"num_warmup_steps": -1}, "num_warmup_steps=-1 must"),
    "polynomial": ({"lr_end": 0.1}, "lr_end=0.1 must be 0 to below"),
    "inverse_sqrt": ({"timescale": 0}, "timescale=0 must"),
    "cosine": ({"num_cycles": -1.0}, "num_cycles=-1.0 must"),
    "cosine_with_restarts": ({"num_cycles": 0}, "num_cycles=0 must"),
    "cosine_with_min_lr": ({}, "min_lr=None must be given, or min_lr_rate"),
    "cosine_warmup_with_min_lr": (
        {"min_lr": 0.01, "min_lr_rate": 0.1},
        "min_lr_rate=0.1 must be left out beside min_lr",
    ),
    "warmup_stable_decay": ({"num_decay_steps": 101}, "num_decay_steps=101 must fit"),
    "timm.cosine": ({"k_decay": 0.0}, "k_decay=0.0 must"),
    "timm.tanh": ({"cycle_decay": 1.5}, "cycle_decay=1.5 must"),
    "timm.step": ({"decay_t": 5, "decay_rate": 0.0}, "decay_rate=0.0 must"),
    "timm.multistep": ({"decay_t": ["x"]}, "decay_t=x must"),
    "timm.poly": ({"noise_range_t": 0, "noise_pct": 2.0}, "noise_pct=2.0 must"),
    "optax.polynomial_schedule": ({"end_value": -1.0, "power": 1.0}, "end_value=-1.0 must"),
    "optax.linear_schedule": ({"end_value": 0.0, "transition_steps": 0}, "transition_steps=0 must"),
    "optax.exponential_decay": (
        {"transition_steps": 5, "decay_rate": 0.0},
        "decay_rate=0.0 must",
    ),
    "optax.cosine_decay_schedule": ({"alpha": 2.0}, "alpha=2.0 must"),
    "optax.piecewise_constant_schedule": (
        {"boundaries_and_scales": {"5": -1.0}},
        r"boundaries_and_scales\[5\]=-1.0 must",
    ),
    "optax.piecewise_interpolate_schedule": (
        {"interpolate_type": "linear", "boundaries_and_scales": {"x": 1.0}},
        "boundaries_and_scales=x must",
    ),
    "optax.warmup_constant_schedule": ({"warmup_steps": 5, "init_value": -1.0}, "init_value=-1.0"),
    "optax.warmup_cosine_decay_schedule": (
        {"warmup_steps": 50, "decay_steps": 50},
        "decay_steps=50 must be above the 50 warmup_steps",
    ),
    "optax.warmup_exponential_decay_schedule": (
        {"warmup_steps": 5, "transition_steps": 5, "decay_rate": -0.5},
        "decay_rate=-0.5 must",
    ),
    "optax.linear_onecycle_schedule": ({"pct_final": 0.1}, "pct_final=0.1 must"),
    "optax.cosine_onecycle_schedule": ({"div_factor": 0.0}, "div_factor=0.0 must"),
    "optax.sgdr_schedule": ({"cosine_kwargs": [{}]}, r"cosine_kwargs\[0\]={} must have"),
}
QUICK = ["warmup_cosine", "cosine", "linear", "wsd", "StepLR", "OneCycleLR", "timm.cosine"]


def test_every_schedule_has_an_example_and_a_mistake_here() -> None:
    assert list(EXAMPLES) == list(SCHEDULES)
    assert set(WRONG) == set(SCHEDULES)


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_in_the_docstrings_are_true(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module)).failed == 0


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_docstring_has_a_formula_a_source_every_argument_and_an_example(name: str) -> None:
    text = inspect.getdoc(SCHEDULES[name]) or ""
    arguments = text.partition("Args:\n")[2].partition("\n\n")[0]

    assert text.splitlines()[2].startswith("    lr")
    assert ">>> " in text
    assert name == "constant" or "\nSource: " in text
    for argument in inspect.signature(SCHEDULES[name]).parameters:
        assert name == "constant" or f"    {argument}: " in arguments, argument


@pytest.mark.parametrize("name", SCHEDULES)
def test_its_arguments_are_of_the_types_it_says(name: str) -> None:
    assert check_arguments(SCHEDULES[name], EXAMPLES[name], path="args", leading=1) == []


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_wrong_argument_is_named_with_its_value(name: str) -> None:
    args, message = WRONG[name]

    with pytest.raises((ValueError, TypeError), match=message):
        SCHEDULES[name](EXAMPLE_RUN, **args)


@pytest.mark.parametrize("name", SCHEDULES)
@given(steps=st.lists(FAR, max_size=20))
@settings(max_examples=30)
def test_the_lr_is_finite_and_not_negative_at_every_step_however_far(
    name: str, steps: list[int]
) -> None:
    curve = SCHEDULES[name](EXAMPLE_RUN, **EXAMPLES[name])

    for step in steps:
        value = curve.learning_rate(step)
        assert isinstance(value, float)
        assert 0 <= value < math.inf
        if curve.momentum is not None:
            assert 0 <= curve.momentum(step) < 1


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_order_in_which_steps_are_asked_changes_nothing(name: str) -> None:
    in_order = SCHEDULES[name](EXAMPLE_RUN, **EXAMPLES[name]).learning_rate
    expected = {step: in_order(step) for step in range(150)}
    shuffled = list(range(150))
    random.Random(7).shuffle(shuffled)

    fresh = SCHEDULES[name](EXAMPLE_RUN, **EXAMPLES[name]).learning_rate

    assert {step: fresh(step) for step in shuffled} == expected


@pytest.mark.parametrize("name", SCHEDULES)
def test_it_can_be_made_before_lr_and_data_are_known(name: str) -> None:
    """As the validation of a spec does, which guesses the length of an epoch."""
    run = ScheduleRun(lr=math.inf, steps=10**10, steps_per_epoch=10**9)

    SCHEDULES[name](run, **EXAMPLES[name])


@pytest.mark.parametrize("name", QUICK)
def test_the_lr_of_a_step_costs_next_to_nothing(name: str) -> None:
    rate = SCHEDULES[name](EXAMPLE_RUN, **EXAMPLES[name]).learning_rate

    def seconds_per_call() -> float:
        began = time.perf_counter()
        for step in range(1000):
            rate(step % 110)
        return (time.perf_counter() - began) / 1000

    # The best of many: a busy machine is no bug.
    assert min(seconds_per_call() for _ in range(50)) < 1.5e-6
