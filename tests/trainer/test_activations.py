"""Modules that forget their activations learn what the others learn, to the last bit."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from rheostat.errors import InvalidSpec
from rheostat.trainer.activations import forget_activations


class Block(nn.Module):
    """Counts how often it is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(8, 8), nn.BatchNorm1d(8)
        self.drop = nn.Dropout(0.5)
        self.calls = 0

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return inputs + self.drop(torch.relu(self.norm(self.first(inputs))))


def a_model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ModuleList([Block(), Block()])[0], Block())


def a_step(model: nn.Module) -> tuple[list[Any], dict[str, torch.Tensor]]:
    torch.manual_seed(1)
    model(torch.randn(6, 4)).square().mean().backward()
    return [one.grad for one in model.parameters()], dict(model.named_buffers())


def test_gradients_dropout_and_running_means_are_the_same_to_the_last_bit() -> None:
    plain, forgetful = a_model(), a_model()
    forget_activations(forgetful, [r"^[12]$"])

    for _ in range(3):
        gradients, buffers = a_step(plain)
        others, other_buffers = a_step(forgetful)

        assert all(torch.equal(a, b) for a, b in zip(gradients, others, strict=True))
        assert all(torch.equal(one, other_buffers[name]) for name, one in buffers.items())

    assert (plain[1].calls, forgetful[1].calls) == (3, 6), "each is computed twice"


def test_names_stay_and_nothing_is_computed_twice_without_gradients() -> None:
    plain, forgetful = a_model(), a_model()
    forget_activations(forgetful, ["1"])

    with torch.no_grad():
        forgetful.eval()(torch.randn(6, 4))

    assert forgetful[1].calls == 1
    assert list(forgetful.state_dict()) == list(plain.state_dict())


def test_of_modules_within_each_other_the_outermost_forgets() -> None:
    model = a_model()
    forget_activations(model, [r"^2(\.first)?$"])

    assert "forward" in vars(model[2])
    assert "forward" not in vars(model[2].first)
    assert "forward" not in vars(model[1])


def test_a_pattern_that_finds_nothing_is_refused_with_the_names_there_are() -> None:
    model = copy.deepcopy(a_model())

    with pytest.raises(InvalidSpec, match=r"activation_checkpointing\[1\].*2\.first") as refused:
        forget_activations(model, ["1", "blocks"])

    assert refused.value.violations[0].value == "blocks"
