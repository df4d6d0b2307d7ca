"""Schedules: pure functions of the step that give a group's base learning rate.

Each is a closed form, so it can be asked for any step in any order, and nothing can drift. They
carry the names and argument names of the libraries they come from, and count in optimizer steps
unless a unit is written. What reacts to the training (plateaus, greedy rules) is not here but in
`feedback`. `docs/schedules.md` shows them all.
"""

from collections.abc import Callable, Mapping

from rheostat_policies.schedules import (
    composition,
    decays,
    hugging_face,
    hugging_face_cosines,
    optax_decays,
    optax_pieces,
    optax_warmups,
    recorded,
    timm_cycles,
    timm_steps,
    torch_cosines,
    torch_factors,
    torch_functions,
    warmup_stable_decay,
)
from rheostat_policies.schedules.api import Curve, Schedule, ScheduleRun
from rheostat_policies.schedules.chebyshev import chebyshev
from rheostat_policies.schedules.constant import constant
from rheostat_policies.schedules.durations import Duration, duration
from rheostat_policies.schedules.one_cycle import OneCycleLR
from rheostat_policies.schedules.torch_cyclic import CyclicLR
from rheostat_policies.schedules.torch_factors import StepLR
from rheostat_policies.schedules.warmup_cosine import warmup_cosine

SCHEDULES: Mapping[str, Callable[..., Curve]] = {
    "constant": constant,
    "warmup_cosine": warmup_cosine,
    "wsd": warmup_stable_decay.wsd,
    "trapezoid": warmup_stable_decay.trapezoid,
    "rex": decays.rex,
    "tanh": decays.tanh,
    "chebyshev": chebyshev,
    "power": decays.power,
    "infinite": decays.infinite,
    # composition
    "sequence": composition.sequence,
    "chain": composition.chain,
    "warmup": composition.warmup,
    "recorded": recorded.recorded,
    # torch
    "LambdaLR": torch_functions.LambdaLR,
    "MultiplicativeLR": torch_functions.MultiplicativeLR,
    "StepLR": StepLR,
    "MultiStepLR": torch_factors.MultiStepLR,
    "ConstantLR": torch_factors.ConstantLR,
    "LinearLR": torch_factors.LinearLR,
    "ExponentialLR": torch_factors.ExponentialLR,
    "PolynomialLR": torch_factors.PolynomialLR,
    "CosineAnnealingLR": torch_cosines.CosineAnnealingLR,
    "CosineAnnealingWarmRestarts": torch_cosines.CosineAnnealingWarmRestarts,
    "CyclicLR": CyclicLR,
    "OneCycleLR": OneCycleLR,
    "SWALR": torch_cosines.SWALR,
    "SequentialLR": composition.SequentialLR,
    "ChainedScheduler": composition.ChainedScheduler,
    # Hugging Face's get_scheduler
    "linear": hugging_face.linear,
    "constant_with_warmup": hugging_face.constant_with_warmup,
    "polynomial": hugging_face.polynomial,
    "inverse_sqrt": hugging_face.inverse_sqrt,
    "cosine": hugging_face_cosines.cosine,
    "cosine_with_restarts": hugging_face_cosines.cosine_with_restarts,
    "cosine_with_min_lr": hugging_face_cosines.cosine_with_min_lr,
    "cosine_warmup_with_min_lr": hugging_face_cosines.cosine_warmup_with_min_lr,
    "warmup_stable_decay": warmup_stable_decay.warmup_stable_decay,
    # timm
    "timm.cosine": timm_cycles.cosine,
    "timm.tanh": timm_cycles.tanh,
    "timm.step": timm_steps.step,
    "timm.multistep": timm_steps.multistep,
    "timm.poly": timm_cycles.poly,
    # optax
    "optax.polynomial_schedule": optax_decays.polynomial_schedule,
    "optax.linear_schedule": optax_decays.linear_schedule,
    "optax.exponential_decay": optax_decays.exponential_decay,
    "optax.cosine_decay_schedule": optax_decays.cosine_decay_schedule,
    "optax.piecewise_constant_schedule": optax_pieces.piecewise_constant_schedule,
    "optax.piecewise_interpolate_schedule": optax_pieces.piecewise_interpolate_schedule,
    "optax.warmup_constant_schedule": optax_warmups.warmup_constant_schedule,
    "optax.warmup_cosine_decay_schedule": optax_warmups.warmup_cosine_decay_schedule,
    "optax.warmup_exponential_decay_schedule": optax_warmups.warmup_exponential_decay_schedule,
    "optax.linear_onecycle_schedule": optax_pieces.linear_onecycle_schedule,
    "optax.cosine_onecycle_schedule": optax_pieces.cosine_onecycle_schedule,
    "optax.sgdr_schedule": optax_warmups.sgdr_schedule,
}
"""Schedule types by the name a spec uses; others come by entry point or `module:attribute`."""

__all__ = [
    "SCHEDULES",
    "Curve",
    "Duration",
    "OneCycleLR",
    "Schedule",
    "ScheduleRun",
    "StepLR",
    "constant",
    "duration",
    "warmup_cosine",
]
