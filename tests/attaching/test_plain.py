"""The step of a script the short way: the same weights, and the long way where somebody looks."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import LBFGS, SGD, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.optimizer import register_optimizer_step_post_hook

from rheostat.attaching.interposing import Interposed

NAMES = ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam", "RAdam", "Adadelta", "Adamax"]


def interposed(optimizer: Optimizer) -> Interposed:
    return Interposed(optimizer, lambda: None, lambda is_done: None)


def train(name: str, *, attached: bool, schedule_first: bool) -> torch.Tensor:
    torch.manual_seed(0)
    model = nn.Linear(5, 3)
    optimizer: Any = getattr(torch.optim, name)(model.parameters(), lr=0.05)
    if attached and not schedule_first:
        interposed(optimizer)
    scheduler = LambdaLR(optimizer, lambda step: 0.9**step)
    if attached and schedule_first:
        interposed(optimizer)
    for _ in range(10):
        optimizer.zero_grad()
        model(torch.randn(4, 5)).square().mean().backward()
        optimizer.step()
        scheduler.step()
    return torch.cat([one.detach().flatten() for one in model.parameters()])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("schedule_first", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_the_weights_are_bit_for_bit_those_of_the_long_way(name, schedule_first):
    short = train(name, attached=True, schedule_first=schedule_first)

    assert torch.equal(short, train(name, attached=False, schedule_first=schedule_first))


@pytest.fixture
def optimizer():
    """One that is attached, and has a gradient."""
    weight = nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    optimizer = SGD([weight], lr=0.1)
    interposed(optimizer)
    return optimizer


def test_hooks_that_are_registered_later_are_called(optimizer):
    called = []
    optimizer.register_step_pre_hook(lambda *args: called.append("its own"))
    everybodys = register_optimizer_step_post_hook(lambda *args: called.append("everybody's"))
    try:
        optimizer.step()
    finally:
        everybodys.remove()

    assert called == ["its own", "everybody's"]


def test_a_profiler_that_records_sees_the_step(optimizer):
    with torch.profiler.profile() as profile:
        optimizer.step()

    assert "Optimizer.step#SGD.step" in {one.key for one in profile.key_averages()}


def test_a_closure_is_called_and_its_loss_returned():
    weight = nn.Parameter(torch.ones(2))
    optimizer = LBFGS([weight], max_iter=5)
    interposed(optimizer)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 2.0
    assert float(weight.detach().abs().max()) < 1.0


def test_gradients_may_be_on_or_off_around_it_and_are_so_afterwards(optimizer):
    optimizer.step()
    with torch.no_grad():
        optimizer.step()
        was_on = torch.is_grad_enabled()

    assert (was_on, torch.is_grad_enabled()) == (False, True)


def test_a_step_that_somebody_else_has_put_there_is_taken():
    weight = nn.Parameter(torch.ones(2))
    optimizer = SGD([weight], lr=0.1)
    called = []
    optimizer.step = lambda: called.append("theirs")  # type: ignore[assignment]
    interposed(optimizer)

    optimizer.step()

    assert called == ["theirs"]
