"""Optimizers that treat the LR in a way of their own, by import path, in a real loop."""

from typing import Any

import pytest
import torch

from rheostat.spec.models import Spec
from rheostat.trainer.actuator import Actuator
from rheostat.trainer.building import Parts, build
from rheostat.trainer.learning import Learner
from rheostat.trainer.modes import evaluating, evaluation_mode, train_mode

SCHEDULE_FREE = "schedulefree:AdamWScheduleFree"
MULTIPLIED = ("prodigyopt:Prodigy", "pytorch_optimizer:Prodigy", "pytorch_optimizer:DAdaptAdam")
OBEDIENT = ("pytorch_optimizer:AdaBelief", "pytorch_optimizer:Lion", "pytorch_optimizer:Lamb")


def a_run(optimizer: str, lr: float = 0.01, **sections: Any) -> tuple[Parts, Actuator, Learner]:
    spec = {
        "model": {"name": "mlp", "args": {"hidden": [8]}},
        "optimizer": {"name": optimizer, "lr": lr},
        "train": {"steps": 20, "device": "cpu"},
    }
    parts = build(Spec.model_validate(spec | sections), "run")
    learner = Learner(parts.model, parts.loss, parts.optimizer, parts.spec.train, parts.device)
    return parts, Actuator(parts.optimizer), learner


def weights(parts: Parts) -> torch.Tensor:
    return torch.cat([one.detach().flatten().clone() for one in parts.model.parameters()])


def moved(parts: Parts, actuator: Actuator, learner: Learner, lr: float) -> torch.Tensor:
    """Take one step at an LR and return how far each weight went."""
    before = weights(parts)
    actuator.write([lr] * len(parts.groups))
    learner.learn(0, *parts.batches.batch(0), measure_norm=False)
    return weights(parts) - before


@pytest.mark.parametrize("optimizer", OBEDIENT)
def test_a_class_of_pytorch_optimizer_obeys_the_lr_it_is_given(optimizer: str) -> None:
    torch.manual_seed(0)
    whole = moved(*a_run(optimizer), lr=0.02)
    half = moved(*a_run(optimizer), lr=0.01)

    assert whole.abs().max() > 0
    torch.testing.assert_close(half * 2, whole, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("optimizer", MULTIPLIED)
def test_an_optimizer_that_finds_its_step_size_warns_that_the_lr_multiplies_it(
    optimizer: str,
) -> None:
    parts, actuator, learner = a_run(optimizer, lr=1.0)

    assert any("the LR multiplies it" in warning for warning in parts.warnings)
    assert moved(parts, actuator, learner, lr=1.0).abs().max() > 0


@pytest.mark.parametrize("name", ["ASGD", "Rprop", SCHEDULE_FREE])
def test_an_optimizer_with_ways_of_its_own_is_warned_of_by_name(name: str) -> None:
    parts, _, _ = a_run(name)

    [warning] = parts.warnings
    assert warning.startswith(name.rpartition(":")[2])


def test_an_obedient_optimizer_is_not_warned_of() -> None:
    assert a_run("AdamW")[0].warnings == ()


def test_schedule_free_learns_at_one_point_and_is_judged_at_another() -> None:
    parts, actuator, learner = a_run(SCHEDULE_FREE)
    train_mode(parts.model, parts.optimizer)
    for _ in range(5):
        moved(parts, actuator, learner, lr=0.01)
    learning = weights(parts)

    with evaluating(parts.model, parts.optimizer):
        judged = weights(parts)

    assert not torch.equal(judged, learning)
    torch.testing.assert_close(weights(parts), learning)
    evaluation_mode(parts.model, parts.optimizer)
    torch.testing.assert_close(weights(parts), judged)


def test_a_part_of_a_split_optimizer_changes_its_mode_too() -> None:
    own = {"name": "biases", "match": "bias", "optimizer": {"name": SCHEDULE_FREE}}
    parts, _, _ = a_run("SGD", groups=[own])

    train_mode(parts.model, parts.optimizer)
    modes = [group.get("train_mode") for group in parts.optimizer.param_groups]
    evaluation_mode(parts.model, parts.optimizer)

    assert modes == [True, None]
    assert [group.get("train_mode") for group in parts.optimizer.param_groups] == [False, None]
