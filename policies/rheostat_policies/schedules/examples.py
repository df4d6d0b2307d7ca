"""Arguments for every built-in schedule that show what it does: for pictures, docs and tests."""

from collections.abc import Mapping
from typing import Any

from rheostat_policies.schedules.api import ScheduleRun

EXAMPLE_RUN = ScheduleRun(lr=0.1, steps=100, steps_per_epoch=10, batch_size=32)
"""The run that the examples are made for: ten epochs of ten steps."""

_EXPONENTIAL = {"name": "ExponentialLR", "args": {"gamma": 0.95}}
_LINEAR = {"name": "LinearLR", "args": {"start_factor": 0.1, "total_iters": "2ep"}}

EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "constant": {},
    "warmup_cosine": {"warmup_steps": "1ep", "min_lr": 0.005},
    "wsd": {"warmup": "1ep", "decay": "0.3dur"},
    "trapezoid": {},
    "rex": {},
    "tanh": {},
    "chebyshev": {"num_epochs": 32},
    "power": {"a": 0.1, "tokens_per_sample": 1, "warmup": 5},
    "infinite": {"constant_lr": 0.03, "warmup": "1ep", "anneal": "0.2dur", "min_lr": 0.003},
    "sequence": {
        "schedules": [{"name": "rex"}, {"name": "warmup_cosine", "args": {"warmup_steps": 5}}],
        "milestones": ["0.4dur"],
    },
    "chain": {"schedules": [_EXPONENTIAL, {"name": "CosineAnnealingLR", "args": {"T_max": 10}}]},
    "warmup": {"steps": "2ep", "schedule": _EXPONENTIAL, "shape": "cosine"},
    "recorded": {
        "schedule": {"name": "warmup_cosine", "args": {"warmup_steps": "1ep"}},
        "edits": [
            {"step": 40, "verb": "swap", "schedule": {"name": "constant"}},
            {"step": 70, "verb": "rewarm", "steps": 10, "ratio": 0.2},
        ],
        "gains": [[25, 0.5], [60, 0.75]],
        "rates": [[50, 55, 0.02]],
    },
    "LambdaLR": {"lr_lambda": "rheostat_policies.schedules.examples:sawtooth"},
    "MultiplicativeLR": {"lr_lambda": "rheostat_policies.schedules.examples:shrink_ever_less"},
    "StepLR": {"step_size": "3ep", "gamma": 0.3},
    "MultiStepLR": {"milestones": ["5ep", "8ep"], "gamma": 0.3},
    "ConstantLR": {"factor": 0.3, "total_iters": "2ep"},
    "LinearLR": {"start_factor": 0.1, "total_iters": "3ep"},
    "ExponentialLR": {"gamma": 0.96},
    "PolynomialLR": {"total_iters": "1dur", "power": 2.0},
    "CosineAnnealingLR": {"T_max": "4ep", "eta_min": 0.01},
    "CosineAnnealingWarmRestarts": {"T_0": 14, "T_mult": 2},
    "CyclicLR": {"base_lr": 0.01, "step_size_up": "1ep", "mode": "triangular2"},
    "OneCycleLR": {"pct_start": 0.4},
    "SWALR": {"swa_lr": 0.03, "anneal_epochs": "4ep"},
    "SequentialLR": {"schedulers": [_LINEAR, _EXPONENTIAL], "milestones": ["2ep"]},
    "ChainedScheduler": {"schedulers": [_LINEAR, _EXPONENTIAL]},
    "linear": {"num_warmup_steps": "1ep"},
    "constant_with_warmup": {"num_warmup_steps": "3ep"},
    "polynomial": {"num_warmup_steps": "1ep", "lr_end": 0.01, "power": 3.0},
    "inverse_sqrt": {"num_warmup_steps": "1ep"},
    "cosine": {"num_warmup_steps": "1ep"},
    "cosine_with_restarts": {"num_warmup_steps": "1ep", "num_cycles": 3},
    "cosine_with_min_lr": {"num_warmup_steps": "1ep", "min_lr_rate": 0.2},
    "cosine_warmup_with_min_lr": {
        "num_warmup_steps": "2ep",
        "min_lr_rate": 0.2,
        "warmup_lr_rate": 0.4,
    },
    "warmup_stable_decay": {"num_warmup_steps": "1ep", "num_decay_steps": "4ep"},
    "timm.cosine": {
        "t_initial": "3ep",
        "cycle_limit": 3,
        "cycle_decay": 0.6,
        "warmup_t": 10,
        "warmup_prefix": True,
    },
    "timm.tanh": {"warmup_t": "1ep"},
    "timm.step": {"decay_t": "2ep", "decay_rate": 0.5, "warmup_t": "1ep"},
    "timm.multistep": {"decay_t": ["4ep", "7ep"], "decay_rate": 0.3},
    "timm.poly": {"power": 2.0, "noise_range_t": "0.5dur", "noise_std": 0.2},
    "optax.polynomial_schedule": {"end_value": 0.01, "power": 2.0, "transition_begin": "1ep"},
    "optax.linear_schedule": {"end_value": 0.02, "transition_steps": "6ep"},
    "optax.exponential_decay": {"transition_steps": "2ep", "decay_rate": 0.5, "staircase": True},
    "optax.cosine_decay_schedule": {"alpha": 0.1, "exponent": 2.0},
    "optax.piecewise_constant_schedule": {"boundaries_and_scales": {"4ep": 0.5, "70": 0.4}},
    "optax.piecewise_interpolate_schedule": {
        "interpolate_type": "cosine",
        "boundaries_and_scales": {"3ep": 0.3, "5ep": 2.0, "1dur": 0.0},
    },
    "optax.warmup_constant_schedule": {"warmup_steps": "2ep", "init_value": 0.02},
    "optax.warmup_cosine_decay_schedule": {"warmup_steps": "1ep", "exponent": 2.0},
    "optax.warmup_exponential_decay_schedule": {
        "warmup_steps": "1ep",
        "transition_steps": "3ep",
        "decay_rate": 0.4,
    },
    "optax.linear_onecycle_schedule": {},
    "optax.cosine_onecycle_schedule": {},
    "optax.sgdr_schedule": {
        "cosine_kwargs": [
            {"warmup_steps": 5, "decay_steps": "4ep"},
            {"warmup_steps": 5, "decay_steps": "6ep", "peak_value": 0.06},
        ],
    },
}
"""Example arguments by schedule."""


def sawtooth(step: int) -> float:
    """Return a factor that falls from 1 to 0.05 in 20 steps and jumps back, for LambdaLR."""
    return 1.0 - 0.05 * (step % 20)


def shrink_ever_less(step: int) -> float:
    """Return a factor that nears 1, for MultiplicativeLR."""
    return 1.0 - 0.2 / step
