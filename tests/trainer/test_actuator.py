"""What is decided is what stands in the optimizer."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from rheostat.trainer.actuator import Actuator


def an_optimizer(cls: type[Optimizer] = AdamW, groups: int = 2, **args: Any) -> Optimizer:
    return cls([{"params": [nn.Parameter(torch.ones(3))]} for _ in range(groups)], lr=0.1, **args)


@given(lrs=st.lists(st.floats(0, 10), min_size=2, max_size=2))
@settings(deadline=None)
def test_each_group_gets_its_own_lr_to_the_last_bit(lrs: list[float]) -> None:
    optimizer = an_optimizer()
    actuator = Actuator(optimizer)

    actuator.write(lrs)

    assert [group["lr"] for group in optimizer.param_groups] == lrs
    assert actuator.read() == lrs


def test_a_capturable_optimizer_gets_one_tensor_per_group_filled_in_place() -> None:
    optimizer = an_optimizer(Adam, capturable=True)
    actuator = Actuator(optimizer)
    carriers = [group["lr"] for group in optimizer.param_groups]

    actuator.write([0.5, 0.25])

    assert [float(one) for one in carriers] == [0.5, 0.25], "filled, not shared"
    assert all(
        group["lr"] is one for group, one in zip(optimizer.param_groups, carriers, strict=True)
    )


def test_an_eager_optimizer_keeps_a_float_and_so_its_foreach_path() -> None:
    optimizer = an_optimizer(AdamW, foreach=True)

    Actuator(optimizer).write([0.5, 0.25])

    assert all(type(group["lr"]) is float for group in optimizer.param_groups)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam", "RAdam"])
def test_an_lr_of_zero_freezes_the_weights(name: str) -> None:
    cls = getattr(torch.optim, name)
    parameter = nn.Parameter(torch.ones(3))
    optimizer = cls([parameter], lr=0.1)
    Actuator(optimizer).write([0.0])
    parameter.grad = torch.ones(3)

    optimizer.step()

    assert torch.equal(parameter.detach(), torch.ones(3))


def test_momentum_goes_to_momentum_or_to_beta1() -> None:
    sgd, adam = an_optimizer(SGD, momentum=0.9), an_optimizer(Adam)

    Actuator(sgd).write_momenta([0.5, None])
    Actuator(adam).write_momenta([0.5, None])

    assert [group["momentum"] for group in sgd.param_groups] == [0.5, 0.9]
    assert [group["betas"] for group in adam.param_groups] == [(0.5, 0.999), (0.9, 0.999)]


def test_a_momentum_that_nobody_moves_any_more_is_the_groups_own_again() -> None:
    sgd, adam = an_optimizer(SGD, momentum=0.9), an_optimizer(Adam)
    for optimizer in (sgd, adam):
        actuator = Actuator(optimizer)
        actuator.write_momenta([0.5, 0.6])
        actuator.write_momenta([None, 0.7])

    assert [group["momentum"] for group in sgd.param_groups] == [0.9, 0.7]
    assert [group["betas"][0] for group in adam.param_groups] == [0.9, 0.7]

    Actuator(sgd, momenta=[0.8, 0.8]).write_momenta([None, None])

    assert [group["momentum"] for group in sgd.param_groups] == [0.8, 0.8], "as it was built"
