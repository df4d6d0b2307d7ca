"""Which optimizers step fused by themselves."""

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rheostat.spec.models import Spec
from rheostat.trainer.actuator import Actuator
from rheostat.trainer.building import build
from rheostat.trainer.fusing import FUSED, has_sparse_gradients


def fused(name: str = "AdamW", compile: bool = False, **sections: Any) -> set[Any]:
    """Return what the groups of a built optimizer say of their kernels."""
    args = sections.pop("args", {})
    spec = {
        "optimizer": {"name": name, "lr": 0.01, "args": args},
        "train": {"steps": 1, "device": "cpu", "compile": compile},
    }
    parts = build(Spec.model_validate(spec | sections), "fused")
    return {group.get("fused") for group in parts.optimizer.param_groups}


@pytest.mark.parametrize("name", ["Adagrad", "Adam", "AdamW"])
def test_an_optimizer_with_a_fused_kernel_uses_it(name: str) -> None:
    assert fused(name) == {True}


def test_sgd_is_fused_where_it_has_a_momentum() -> None:
    assert fused("SGD", args={"momentum": 0.9}) == {True}
    assert fused("SGD") == {None}


@pytest.mark.parametrize("args", [{"fused": False}, {"foreach": True}, {"capturable": True}])
def test_who_says_how_it_steps_is_obeyed(args: dict[str, bool]) -> None:
    assert fused(args=args) == {args.get("fused")}


def test_a_group_that_says_how_it_steps_is_obeyed_for_all() -> None:
    groups = [{"name": "biases", "match": "bias", "args": {"foreach": True}}]

    assert fused(groups=groups) == {None}


def test_a_compiled_step_makes_its_own_kernels() -> None:
    assert fused(compile=True) == {None}


def test_a_table_with_sparse_gradients_is_noticed() -> None:
    assert has_sparse_gradients(nn.Sequential(nn.Embedding(4, 2, sparse=True)))
    assert not has_sparse_gradients(nn.Sequential(nn.Embedding(4, 2), nn.Linear(2, 2)))


@given(lrs=st.lists(st.floats(0, 1), min_size=1, max_size=5))
@settings(deadline=None, max_examples=30)
@pytest.mark.parametrize("cls", sorted(FUSED["cpu"], key=lambda one: one.__name__))
def test_a_fused_kernel_obeys_each_lr_that_is_written(
    cls: type[torch.optim.Optimizer], lrs: list[float]
) -> None:
    args = {"momentum": 0.9} if cls is torch.optim.SGD else {}
    live = nn.Parameter(torch.linspace(-1, 1, 7))
    optimizer = cls([live], lr=0.5, fused=True, **args)  # type: ignore[call-arg]
    actuator = Actuator(optimizer)
    for index, lr in enumerate(lrs):
        before = live.detach().clone()
        built = nn.Parameter(before.clone())
        other = cls([built], lr=0.5, fused=True, **args)  # type: ignore[call-arg]
        other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        for group in other.param_groups:
            group["lr"] = lr
        live.grad = torch.linspace(-2, 3 + index, 7)
        built.grad = live.grad.clone()

        actuator.write([lr])
        optimizer.step()
        other.step()

        assert torch.equal(live, built)
        if lr == 0:
            assert torch.equal(live, before)
