"""Several optimizers that step as one: the same weights, the same face."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, AdamW, Muon, Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from rheostat.trainer.actuator import Actuator
from rheostat.trainer.shortcuts import step_of, zero_grad_of
from rheostat.trainer.split import SplitOptimizer


def a_model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))


def parts_of(model: nn.Module) -> tuple[Optimizer, Optimizer]:
    matrices = [one for one in model.parameters() if one.ndim == 2]
    vectors = [{"params": [one]} for one in model.parameters() if one.ndim == 1]
    return Muon(matrices, lr=0.02), AdamW(vectors, lr=0.01)


def split(model: nn.Module) -> SplitOptimizer:
    """Return Muon and AdamW with AdamW's first group before Muon's, and its second after."""
    muon, adamw = parts_of(model)
    first, last = adamw.param_groups
    return SplitOptimizer([muon, adamw], [first, muon.param_groups[0], last])


def backward(model: nn.Module, step: int) -> None:
    inputs = torch.randn(6, 4, generator=torch.Generator().manual_seed(step))
    for one in model.parameters():
        one.grad = None
    model(inputs).square().mean().backward()


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([one.detach().flatten() for one in model.parameters()])


@pytest.mark.parametrize("is_short", [True, False])
def test_the_weights_are_bit_for_bit_those_of_the_parts_alone(is_short: bool) -> None:
    apart, together = a_model(), a_model()
    parts, whole = parts_of(apart), split(together)
    step, zero_grad = step_of(whole), zero_grad_of(whole)

    for index in range(5):
        backward(apart, index)
        for part in parts:
            part.step()
        zero_grad() if is_short else whole.zero_grad()
        backward(together, index)
        step() if is_short else whole.step()

    assert torch.equal(weights(apart), weights(together))


def test_an_lr_written_to_a_group_is_the_one_its_part_uses() -> None:
    model = a_model()
    optimizer = split(model)
    before = weights(model)

    Actuator(optimizer).write([0.0, 0.5, 0.0])
    backward(model, 0)
    optimizer.step()

    [muon_group] = optimizer.parts[0].param_groups
    assert muon_group["lr"] == 0.5
    assert [group["lr"] for group in optimizer.parts[1].param_groups] == [0.0, 0.0]
    moved = (weights(model) != before).tolist()
    assert moved == [True] * 20 + [False] * 5 + [True] * 15 + [False] * 3


def test_a_loaded_state_goes_on_as_if_it_had_never_stopped() -> None:
    model = a_model()
    optimizer = split(model)
    for index in range(3):
        backward(model, index)
        optimizer.step()
    other = a_model()
    other.load_state_dict(model.state_dict())
    resumed = split(other)
    resumed.load_state_dict(deepcopy(optimizer.state_dict()))

    for each, its_optimizer in ((model, optimizer), (other, resumed)):
        Actuator(its_optimizer).write([0.1, 0.2, 0.3])
        backward(each, 3)
        its_optimizer.step()

    assert torch.equal(weights(model), weights(other))


def test_a_listener_hears_of_one_step_not_of_one_per_part() -> None:
    model = a_model()
    optimizer, heard = split(model), []
    handle = register_optimizer_step_post_hook(lambda one, *_: heard.append(one))
    try:
        backward(model, 0)
        step_of(optimizer)()
    finally:
        handle.remove()

    assert heard == [optimizer]


def test_gradients_of_all_parts_are_forgotten() -> None:
    model = a_model()
    optimizer = split(model)
    backward(model, 0)

    zero_grad_of(optimizer)()

    assert all(one.grad is None for one in model.parameters())


def test_one_part_is_as_good_as_none() -> None:
    model: Any = a_model()
    part = SGD(model.parameters(), lr=0.1)

    assert SplitOptimizer([part], part.param_groups).param_groups == part.param_groups
