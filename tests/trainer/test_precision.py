"""Number formats: what each computes in, and what float16 does where gradients overflow."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from rheostat.errors import InvalidSpec
from rheostat.spec.models import Spec, TrainSpec
from rheostat.trainer.building import build
from rheostat.trainer.learning import Learner, NonFiniteLoss
from rheostat.trainer.precision import Precision, check_precision

CPU = torch.device("cpu")
BATCH = torch.ones(4, 3), torch.tensor([0, 1, 0, 1])


class Cliff(nn.Module):
    """Has a finite loss, and gradients that overflow in float16 unless the scale is small."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.seen: list[torch.dtype] = []

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.linear(inputs)
        self.seen.append(outputs.dtype)
        return outputs * 200


def a_learner(model: nn.Module, optimizer: str = "SGD", **train: Any) -> Learner:
    made = getattr(torch.optim, optimizer)(model.parameters(), lr=0.01)
    return Learner(model, nn.functional.cross_entropy, made, TrainSpec(steps=1, **train), CPU)


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("float32", torch.float32), ("bfloat16", torch.bfloat16), ("float16", torch.float16)],
)
def test_products_are_computed_in_the_format_asked_for(precision: str, dtype: torch.dtype) -> None:
    model = Cliff()

    a_learner(model, precision=precision).learn(0, *BATCH, measure_norm=False)

    assert model.seen == [dtype]
    assert {one.dtype for one in model.parameters()} == {torch.float32}


def test_an_update_whose_gradients_overflow_is_left_out_and_the_scale_halved() -> None:
    model = Cliff()
    learner = a_learner(model, precision="float16", gradient_norm_every=1)
    scales, skipped, before = [], [], model.linear.weight.detach().clone()

    for step in range(20):
        loss = learner.learn(step, *BATCH, measure_norm=True)
        assert math.isfinite(loss)
        scales.append(learner.loss_scale)
        skipped.append(learner.has_skipped)
        assert (learner.gradient_norm is None) == learner.has_skipped
        if all(skipped):
            assert torch.equal(model.linear.weight, before)

    first = skipped.index(False)
    assert first > 0, "it began with a scale too large"
    assert scales[: first + 1] == [65536.0 / 2**n for n in range(first + 1)]
    assert not torch.equal(model.linear.weight, before)


@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
def test_an_update_is_left_out_on_the_device_as_it_is_by_the_host(optimizer: str) -> None:
    """The host waits in one, and in the other the kernel looks for itself."""
    args = {"momentum": 0.9} if optimizer == "SGD" else {}
    models, learners = [], []
    for is_masked in (False, True):
        torch.manual_seed(0)
        model = Cliff()
        made = getattr(torch.optim, optimizer)(model.parameters(), lr=0.01, fused=True, **args)
        train = TrainSpec(steps=1, precision="float16")
        loss = nn.functional.cross_entropy
        learners.append(Learner(model, loss, made, train, CPU, is_masked=is_masked))
        models.append(model)
    skipped = 0

    for step in range(20):
        value = learners[0].learn(step, *BATCH, measure_norm=False)
        left = learners[1].begin(*BATCH, measure_norm=False)

        assert left.overflow is not None
        assert left.scale is not None
        assert (left.loss.item(), left.scale.item()) == (value, learners[0].loss_scale)
        assert (left.overflow.item() > 0) == learners[0].has_skipped
        assert torch.equal(models[0].linear.weight, models[1].linear.weight)
        skipped += learners[0].has_skipped

    assert skipped > 0


def test_gradients_are_measured_and_clipped_without_the_scale() -> None:
    torch.manual_seed(0)
    model, inputs = nn.Linear(4, 3), torch.randn(6, 4)
    targets = torch.randint(0, 3, (6,))
    wide = a_learner(model, gradient_norm_every=1)
    wide.learn(0, inputs, targets, measure_norm=True)
    narrow = a_learner(model, precision="float16", grad_clip=0.01)

    narrow.learn(0, inputs, targets, measure_norm=True)

    assert wide.gradient_norm is not None
    assert narrow.gradient_norm is not None
    torch.testing.assert_close(narrow.gradient_norm, wide.gradient_norm, rtol=0.05, atol=0.0)
    norms = [one.grad.norm() for one in model.parameters() if one.grad is not None]
    assert torch.stack(norms).norm().item() == pytest.approx(0.01, rel=1e-3)


def test_a_loss_that_is_not_finite_is_a_failure_in_float16_too() -> None:
    learner = a_learner(nn.Linear(3, 2), precision="float16")

    with pytest.raises(NonFiniteLoss):
        learner.learn(3, torch.full((4, 3), math.nan), BATCH[1], measure_norm=False)


def test_noise_is_measured_without_the_scale() -> None:
    torch.manual_seed(0)
    inputs, targets = torch.randn(8, 4), torch.randint(0, 3, (8,))
    found = []
    for precision in ("float32", "float16"):
        torch.manual_seed(1)
        learner = a_learner(nn.Linear(4, 3), precision=precision, accumulate=2)
        learner.observe({"gradient_noise"})
        learner.learn(0, inputs, targets, measure_norm=False)
        assert learner.watch is not None
        found.append(learner.watch.measured[1:])

    assert found[0] == pytest.approx(found[1], rel=0.05)


@pytest.mark.parametrize(
    ("precision", "device"), [("tf32", "cpu"), ("tf32", "mps"), ("float16", "mps")]
)
def test_a_precision_that_a_device_lacks_is_refused_with_others(
    precision: str, device: str
) -> None:
    with pytest.raises(InvalidSpec) as refused:
        check_precision(precision, torch.device(device))

    [violation] = refused.value.violations
    assert (violation.field, violation.value) == ("train.precision", precision)
    assert "float32 or bfloat16" in violation.expected


def test_lbfgs_is_refused_in_float16() -> None:
    spec = Spec.model_validate(
        {
            "optimizer": {"name": "LBFGS"},
            "train": {"steps": 1, "device": "cpu", "precision": "float16"},
        }
    )

    with pytest.raises(InvalidSpec, match="LBFGS"):
        build(spec, "run")


def test_a_scale_goes_on_from_what_it_remembers() -> None:
    first, second = Precision("float16", CPU), Precision("float16", CPU)
    assert first.scaler is not None
    first.scaler.load_state_dict({**first.memory(), "scale": 128.0, "_growth_tracker": 7})

    second.recall(first.memory())

    assert second.memory() == first.memory()
    assert second.scale() == 128.0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="tf32 is a format of CUDA devices")
def test_tf32_is_used_where_it_is_asked_for_and_nowhere_else() -> None:
    for name in ("tf32", "float32"):
        Precision(name, torch.device("cuda"))
        assert torch.backends.cuda.matmul.allow_tf32 == (name == "tf32")
        assert torch.backends.cudnn.allow_tf32 == (name == "tf32")
