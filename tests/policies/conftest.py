"""What the tests of schedules share: a torch optimizer to read the other libraries' LRs from."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch.optim import SGD, Optimizer

from rheostat_policies import Curve


@pytest.fixture(scope="session")
def torch_says() -> Callable[..., list[tuple[float, Any]]]:
    """LR and momentum that an optimizer has in each step under a scheduler of torch's kind."""

    def says(
        make: Callable[[Optimizer], Any],
        lr: float,
        steps: int,
        optimizer: type[Optimizer] = SGD,
        **args: Any,
    ) -> list[tuple[float, Any]]:
        made = optimizer([torch.nn.Parameter(torch.zeros(1))], lr=lr, **args)
        scheduler = make(made)
        group = made.param_groups[0]
        seen = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch wants optimizer.step() in between
            for step in range(steps):
                momentum = group["betas"][0] if "betas" in group else group.get("momentum")
                seen.append((float(group["lr"]), momentum))
                if step + 1 < steps:
                    scheduler.step()
        return seen

    return says


@pytest.fixture(scope="session")
def assert_same_lr() -> Callable[[Curve, Sequence[float], float], None]:
    """Fail unless a curve has these LRs to 1e-12, or to 1e-13 of the peak where they cancel."""

    def check(curve: Curve, expected: Sequence[float], peak: float) -> None:
        for step, lr in enumerate(expected):
            ours = curve.learning_rate(step)
            assert ours == pytest.approx(float(lr), rel=1e-12, abs=1e-13 * peak), step

    return check
