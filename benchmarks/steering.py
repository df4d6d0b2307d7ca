"""What one step of steering costs, beside `scheduler.step()` of torch, for 1, 8 and 50 groups.

Steering here is everything that decides and writes LRs: schedule, three policies, guardrails and
the actuator on a real optimizer. Torch's is `LambdaLR` with the same cosine, which is what most
training scripts call once per step. Both are timed without a training loop around them, in
alternating slices.
"""

import argparse
import math
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR

from benchmarks.daemon import show
from rheostat.spec.models import GuardrailsSpec
from rheostat.steering.group import Group
from rheostat.steering.guardrails import guardrails_of
from rheostat.steering.policies import AttachedPolicy
from rheostat.steering.steering import Steering
from rheostat.trainer.actuator import Actuator
from rheostat_policies import POLICIES, SCHEDULES, GroupInfo, RunInfo, ScheduleRun

STEPS = 1_000_000
SLICE_STEPS = 500
SLICES = 20
POLICY_NAMES = ("loss_spike", "plateau", "adalrs")


def an_optimizer(groups: int) -> torch.optim.Optimizer:
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(groups)]
    return torch.optim.SGD([{"params": [one]} for one in parameters], lr=1e-3)


def steered(groups: int) -> Callable[[int], None]:
    names = [f"group_{index}" for index in range(groups)]
    infos = tuple(GroupInfo(name=name, parameters=1) for name in names)
    run = RunInfo(name="benchmark", steps=STEPS, groups=infos)
    schedule = ScheduleRun(lr=1e-3, steps=STEPS, steps_per_epoch=1000)
    curve = SCHEDULES["warmup_cosine"](schedule, warmup_steps=100)
    bounds = guardrails_of(GuardrailsSpec(), curve.learning_rate, STEPS)
    made = [Group(name, curve, 1.0, bounds) for name in names]
    policies = [AttachedPolicy(name, POLICIES[name](), run) for name in POLICY_NAMES]
    steering = Steering(
        made,
        policies,
        time.time,
        steps=STEPS,
        make_curve=lambda group, schedule, steps: curve,
        make_policy=lambda edit: policies[0],
    )
    actuator = Actuator(an_optimizer(groups))

    def step(index: int) -> None:
        measured = (index - 1, STEPS, 1.0, None, None, None, None) if index else None
        steering.advance(index, measured)
        steering.settle()
        actuator.write(steering.learning_rates)

    return step


def torchs(groups: int) -> Callable[[int], None]:
    scheduler = LambdaLR(
        an_optimizer(groups), lambda step: 0.5 * (1.0 + math.cos(math.pi * step / STEPS))
    )
    return lambda index: scheduler.step()


def measure(groups: int) -> dict[str, float]:
    sides = {"steering": steered(groups), "torch": torchs(groups)}
    slices: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(SLICES):
        for name, step in sides.items():
            began = time.perf_counter()
            for index in range(number * SLICE_STEPS, (number + 1) * SLICE_STEPS):
                step(index)
            slices[name].append((time.perf_counter() - began) / SLICE_STEPS * 1e6)
    return {f"{name}_microseconds": statistics.median(took) for name, took in slices.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--groups", type=int, nargs="+", default=[1, 8, 50, 500])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # torch wants optimizer.step() between two scheduler.step()
    result: dict[str, Any] = {str(groups): measure(groups) for groups in options.groups}
    lines = [
        f"{groups:>3} groups: {took['steering_microseconds']:.1f} us steering, "
        f"{took['torch_microseconds']:.1f} us scheduler.step()"
        for groups, took in result.items()
    ]
    show(result, options.json, "\n".join(lines))


if __name__ == "__main__":
    main()
