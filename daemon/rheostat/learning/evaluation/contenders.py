"""Who is compared: schedules with their settings, and the controller with its one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from rheostat.errors import InvalidSpec
from rheostat.spec.models import Spec
from rheostat.spec.validation import parse
from rheostat.trainer.data.ordering import derive_seed

STEP_DECAY_LRS = (1e-1, 1e-2, 1e-3, 1e-4)
STEP_DECAY_STEPS = (10, 20, 50, 100)
STEP_DECAY_GAMMAS = (0.99, 0.9, 0.88)
"""The 48 step-decays of Xu et al. (arXiv 1909.09712)."""
PLATEAU_VALIDATIONS = 20
"""Looks at the validation set in a run of the plateau policy, which has nothing else to go by."""

CONTROLLER = "controller"
BASE = "its base alone"
REPLAY = "its mean schedule, replayed"
RANDOM = "random answers"
STEP_DECAY = "best of 48 step-decays"

Changes = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One way to set the LR of a task's run."""

    family: str
    """What it is called in a table; the settings of one family are rivals."""
    setting: str
    """What distinguishes it within the family."""
    lr: float
    schedule: Changes
    policies: Sequence[Changes] = ()
    validations: int = 0
    """Looks at the validation set before the end of a run."""
    differs_by_seed: Mapping[int, Changes] = field(default_factory=dict)
    """Schedules of single seeds, in place of the common one."""

    def spec(self, task: Spec, seed: int) -> Spec:
        """Return the run of a task with this contender's LRs.

        Raises:
            InvalidSpec: if the task cannot have them.
        """
        document = task.model_dump(mode="json")
        steps = task.train.steps
        document["optimizer"]["lr"] = self.lr
        document["schedule"] = dict(self.differs_by_seed.get(seed, self.schedule))
        document["policies"] = [dict(policy) for policy in self.policies]
        document["train"]["seed"] = seed
        if steps is not None:
            every = steps // self.validations if self.validations else steps + 1
            document["evaluate"] = {"every": max(1, every)}
        made, violations = parse(document, import_plugins=True)
        if made is None:
            raise InvalidSpec(violations)
        return made


def step_decays() -> list[Contender]:
    """Return the paper's baselines."""
    return [
        Contender(
            family=STEP_DECAY,
            setting=f"{lr:g}, every {steps}, x{gamma:g}",
            lr=lr,
            schedule={"name": "StepLR", "args": {"step_size": steps, "gamma": gamma}},
        )
        for lr, steps, gamma in product(STEP_DECAY_LRS, STEP_DECAY_STEPS, STEP_DECAY_GAMMAS)
    ]


def usual(peaks: Sequence[float], names: Sequence[str]) -> list[list[Contender]]:
    """Return the usual schedules of these names, each a list of rivals with one peak LR each."""
    one_cycle = {"name": "OneCycleLR", "args": {"cycle_momentum": False}}
    shapes: Mapping[str, Changes] = {
        "constant": {"name": "constant"},
        "cosine": {"name": "warmup_cosine"},
        "linear": {"name": "linear"},
        "OneCycle": one_cycle,
        "WSD": {"name": "wsd", "args": {"warmup": "0.05dur"}},
    }
    families = [
        [Contender(family=name, setting=f"{peak:g}", lr=peak, schedule=shape) for peak in peaks]
        for name, shape in shapes.items()
    ]
    families.append(
        [
            Contender(
                family="plateau",
                setting=f"{peak:g}",
                lr=peak,
                schedule={"name": "constant"},
                policies=({"name": "plateau", "args": {"factor": 0.5, "patience": 1}},),
                validations=PLATEAU_VALIDATIONS,
            )
            for peak in peaks
        ]
    )
    return [family for family in families if family[0].family in names]


def controller(lr: float, schedule: Changes, file: str) -> Contender:
    """Return the learned policy on its base."""
    policy = {"name": "learned", "args": {"file": file}}
    setting = f"{lr:g}"
    return Contender(
        family=CONTROLLER, setting=setting, lr=lr, schedule=schedule, policies=(policy,)
    )


def base(lr: float, schedule: Changes) -> Contender:
    """Return the same without the policy."""
    return Contender(family=BASE, setting=f"{lr:g}", lr=lr, schedule=schedule)


def random_answers(
    lr: float, schedule: Changes, *, every: int, reach: float, windows: int, seeds: Sequence[int]
) -> Contender:
    """Return a controller whose answers are drawn evenly from [-1, 1], other ones for each seed."""
    schedules = {}
    for seed in seeds:
        answers = np.random.default_rng(derive_seed(seed, 0)).uniform(-1, 1, windows)
        factors = [1.0, *(math.exp(reach * answer) for answer in answers)]
        schedules[seed] = steered(schedule, factors, every)
    return Contender(
        family=RANDOM, setting=f"{lr:g}", lr=lr, schedule=schedule, differs_by_seed=schedules
    )


def replay(
    lr: float, schedule: Changes, factors: Sequence[Sequence[float]], every: int
) -> Contender:
    """Return the geometric mean of what a controller did, window by window, as a schedule.

    Args:
        lr: of the base.
        schedule: of the base.
        factors: of each run, in each of its windows.
        every: steps of a window.
    """
    mean = [
        math.exp(sum(math.log(factor) for factor in window) / len(window))
        for window in zip(*factors, strict=False)
    ]
    return Contender(
        family=REPLAY, setting=f"{lr:g}", lr=lr, schedule=steered(schedule, mean, every)
    )


def steered(schedule: Changes, factors: Sequence[float], every: int) -> Changes:
    """Return a schedule whose LR is multiplied by a factor in each window."""
    gains = [[window * every, factor] for window, factor in enumerate(factors) if window]
    return {"name": "recorded", "args": {"schedule": dict(schedule), "gains": gains}}
