"""One optimizer step: what it computes, and when it refuses to."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from rheostat.spec.models import TrainSpec
from rheostat.trainer.learning import Learner, NonFiniteLoss
from rheostat.trainer.losses import find_loss
from rheostat.trainer.modes import evaluating
from rheostat.trainer.tallying import validate

CPU = torch.device("cpu")


def a_learner(optimizer: str = "SGD", lr: float = 0.1, **train: Any) -> Learner:
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    made = getattr(torch.optim, optimizer)(model.parameters(), lr=lr)
    spec = TrainSpec(steps=1, **train)
    return Learner(model, find_loss("cross_entropy"), made, spec, CPU)


def a_batch(size: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(size, 4, generator=generator)
    return inputs, torch.randint(0, 3, (size,), generator=generator)


def weights(learner: Learner) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in learner.model.parameters()])


def test_the_loss_is_that_of_the_weights_before_the_update() -> None:
    learner = a_learner()
    inputs, targets = a_batch()
    before = nn.functional.cross_entropy(learner.model(inputs), targets).item()

    assert learner.learn(0, inputs, targets, measure_norm=False) == before


def test_accumulation_takes_the_same_step_as_one_batch() -> None:
    whole, parts = a_learner(), a_learner(accumulate=5)

    losses = [one.learn(0, *a_batch(), measure_norm=False) for one in (whole, parts)]

    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    torch.testing.assert_close(weights(whole), weights(parts))


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_non_finite_loss_stops_before_the_update(accumulate: int) -> None:
    learner = a_learner(accumulate=accumulate)
    inputs, targets = a_batch()
    inputs[0, 0] = math.inf
    before = weights(learner)

    with pytest.raises(NonFiniteLoss, match="at step 7") as stopped:
        learner.learn(7, inputs, targets, measure_norm=False)

    assert stopped.value.step == 7
    assert torch.equal(weights(learner), before)


def test_the_gradient_norm_is_measured_before_clipping() -> None:
    free, clipped = a_learner(), a_learner(grad_clip=1e-3)

    for learner in (free, clipped):
        learner.learn(0, *a_batch(), measure_norm=True)

    assert free.gradient_norm is not None
    assert clipped.gradient_norm is not None
    torch.testing.assert_close(free.gradient_norm, clipped.gradient_norm)
    norms = [p.grad.norm() for p in clipped.model.parameters() if p.grad is not None]
    assert torch.stack(norms).norm().item() == pytest.approx(1e-3, rel=1e-3)


def test_lbfgs_learns_through_its_closure() -> None:
    learner = a_learner("LBFGS", lr=1.0)

    first = learner.learn(0, *a_batch(), measure_norm=False)
    second = learner.learn(1, *a_batch(), measure_norm=False)

    assert second < first


def test_bfloat16_keeps_the_weights_in_float32() -> None:
    learner = a_learner(precision="bfloat16")

    learner.learn(0, *a_batch(), measure_norm=False)

    assert {p.dtype for p in learner.model.parameters()} == {torch.float32}


def test_validation_counts_every_sample_once_in_evaluation_mode() -> None:
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 3))
    model.train()
    inputs, targets = a_batch(10)
    with torch.no_grad():
        outputs = model[1](inputs)
        expected = nn.functional.cross_entropy(outputs, targets).item()
        accuracy = (outputs.argmax(1) == targets).double().mean().item()
    batches = [(inputs[:7], targets[:7]), (inputs[7:], targets[7:])]

    with evaluating(model, torch.optim.SGD(model.parameters())):
        loss, share = validate(model, find_loss("cross_entropy"), batches)

    assert loss == pytest.approx(expected, rel=1e-6)
    assert share == pytest.approx(accuracy)
    assert model.training, "it goes on learning"


def test_accuracy_is_absent_where_targets_are_not_classes() -> None:
    batches = [(torch.zeros(4, 2), torch.zeros(4, 2))]

    loss, accuracy = validate(nn.Identity(), find_loss("mse_loss"), batches)

    assert (loss, accuracy) == (0.0, None)
