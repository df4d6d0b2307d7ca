"""Shortcuts around torch's wrappers: the same weights, and out of the way where hooks are."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from rheostat.trainer.shortcuts import step_of, zero_grad_of

NAMES = ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam", "RAdam", "Adadelta", "Adamax"]


def train(name: str, short: bool) -> torch.Tensor:
    torch.manual_seed(0)
    model = nn.Linear(5, 3)
    optimizer: Optimizer = getattr(torch.optim, name)(model.parameters(), lr=0.05)
    step, zero_grad = step_of(optimizer), zero_grad_of(optimizer)
    for _ in range(10):
        zero_grad() if short else optimizer.zero_grad(set_to_none=True)
        model(torch.randn(4, 5)).square().mean().backward()
        step() if short else optimizer.step()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("name", NAMES)
def test_the_weights_are_bit_for_bit_those_of_the_long_way(name: str) -> None:
    assert torch.equal(train(name, short=True), train(name, short=False))


def an_optimizer(cls: Any = SGD) -> Any:
    return cls([nn.Parameter(torch.ones(2))], lr=0.1)


def test_hooks_of_the_optimizer_are_still_called() -> None:
    optimizer, called = an_optimizer(), []
    optimizer.register_step_post_hook(lambda *args: called.append("after"))

    step_of(optimizer)()

    assert called == ["after"]


def test_hooks_of_all_optimizers_are_still_called() -> None:
    called: list[str] = []
    handle = register_optimizer_step_pre_hook(lambda *args: called.append("before"))
    try:
        step_of(an_optimizer())()
    finally:
        handle.remove()

    assert called == ["before"]


def test_a_class_that_overrides_zero_grad_keeps_its_own() -> None:
    class Careful(AdamW):
        def zero_grad(self, set_to_none: bool = True) -> None:
            super().zero_grad(set_to_none)

    optimizer = an_optimizer(Careful)

    assert zero_grad_of(optimizer) == optimizer.zero_grad


def test_a_step_that_somebody_replaced_is_left_in_place() -> None:
    optimizer, called = an_optimizer(), []
    optimizer.step = lambda: called.append("mine")

    step_of(optimizer)()

    assert called == ["mine"]
