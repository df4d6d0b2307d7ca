"""Fused steps that keep their lists: the weights and states of torch's own step, bit for bit."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from rheostat.trainer.kernels import KernelStep, has_kernel
from rheostat.trainer.shortcuts import backward, step_of

KINDS: dict[str, tuple[type[Optimizer], dict[str, Any]]] = {
    "Adam": (Adam, {"weight_decay": 0.1}),
    "AdamW": (AdamW, {}),
    "amsgrad": (AdamW, {"amsgrad": True}),
    "maximize": (Adam, {"maximize": True}),
    "SGD": (SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
}


class Trained:
    """A small model of two groups whose optimizer steps the short or the long way."""

    def __init__(self, kind: str, *, short: bool) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3), nn.Linear(3, 1))
        cls, args = KINDS[kind]
        groups = [{"params": self.model[0].parameters()}]
        groups.append({"params": self.model[2:].parameters(), "lr": 0.01})
        self.optimizer = cls(groups, lr=0.05, fused=True, **args)  # type: ignore[call-arg]
        self.step: Callable[[], object] = step_of(self.optimizer) if short else self.optimizer.step
        assert isinstance(self.step, KernelStep) is short
        self._short = short

    def train(self, steps: int, *, head: bool = True) -> None:
        for _ in range(steps):
            self.optimizer.zero_grad(set_to_none=True)
            hidden = self.model[2](self.model[1](self.model[0](torch.randn(4, 5))))
            loss = (self.model[3](hidden) if head else hidden).square().mean()
            backward(loss) if self._short else loss.backward()
            self.step()

    def tensors(self) -> list[Tensor]:
        states = [self.optimizer.state[one] for one in self.model.parameters()]
        kept = [value for state in states for value in state.values()]
        return [*(one.detach().clone() for one in self.model.parameters()), *kept]


def both_ways(kind: str, work: Callable[[Trained], None]) -> None:
    short, long = Trained(kind, short=True), Trained(kind, short=False)
    for one in (short, long):
        torch.manual_seed(1)
        work(one)
    ours, theirs = short.tensors(), long.tensors()
    assert len(ours) == len(theirs)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_weights_and_states_are_bit_for_bit_torchs(kind: str) -> None:
    both_ways(kind, lambda one: one.train(12))


@pytest.mark.parametrize("kind", ["AdamW", "SGD"])
def test_options_act_at_the_next_step(kind: str) -> None:
    def work(one: Trained) -> None:
        for lr in (0.05, 0.02, 0.3):
            for group in one.optimizer.param_groups:
                group["lr"], group["weight_decay"] = lr, lr / 10
                if "betas" in group:
                    group["betas"] = (1 - lr, 0.99)
                else:
                    group["momentum"] = 1 - lr
            one.train(3)

    both_ways(kind, work)


@pytest.mark.parametrize("kind", ["Adam", "amsgrad"])
def test_a_parameter_without_a_gradient_is_left_alone_and_counts_for_itself(kind: str) -> None:
    def work(one: Trained) -> None:
        for head in (False, False, True, True, False, False, True):
            one.train(2, head=head)

    both_ways(kind, work)


@pytest.mark.parametrize("kind", ["AdamW", "SGD"])
def test_a_state_that_was_loaded_is_the_one_that_is_stepped(kind: str) -> None:
    def work(one: Trained) -> None:
        one.train(3)
        kept = copy.deepcopy(one.optimizer.state_dict())
        one.train(3)
        one.optimizer.load_state_dict(kept)
        one.train(3)

    both_ways(kind, work)


@pytest.mark.parametrize("forget", ["all", "each"])
def test_a_state_that_was_emptied_begins_anew(forget: str) -> None:
    def work(one: Trained) -> None:
        one.train(3)
        if forget == "all":
            one.optimizer.state.clear()
        else:
            for state in one.optimizer.state.values():
                state.clear()
        one.train(3)

    both_ways("AdamW", work)


def test_an_update_that_the_device_leaves_out_is_torchs_own() -> None:
    def work(one: Trained) -> None:
        one.train(3)
        one.optimizer.found_inf = torch.ones(())  # type: ignore[attr-defined]
        one.train(2)
        del one.optimizer.found_inf  # type: ignore[attr-defined]
        one.train(3)

    both_ways("AdamW", work)


def test_only_fused_groups_go_straight_to_the_kernel() -> None:
    parameters = [nn.Parameter(torch.ones(2))]

    assert has_kernel(Adam(parameters, fused=True))
    assert not has_kernel(Adam(parameters, fused=False))
    assert not has_kernel(torch.optim.NAdam(parameters))


def test_the_gradients_are_those_of_the_long_way() -> None:
    x = torch.randn(3, requires_grad=True)
    backward(x.exp().sum())
    assert x.grad is not None
    assert torch.equal(x.grad, x.detach().exp())
