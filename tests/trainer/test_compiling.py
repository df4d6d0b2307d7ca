"""A compiled run: its LR may change at every step, and nothing is compiled again."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters

from rheostat.spec.models import Spec
from rheostat.trainer.actuator import Actuator
from rheostat.trainer.building import build
from rheostat.trainer.compiling import COMPILED, is_compiled
from rheostat.trainer.learning import Learner

CHANGES = 1000


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Compile without generating machine code, and count the graphs made since the beginning."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    torch._dynamo.reset()
    counters.clear()
    yield lambda: counters["stats"]["unique_graphs"]
    torch._dynamo.reset()


def compiled(**sections: Any) -> tuple[Any, Actuator, Learner]:
    spec = {
        "model": {"name": "mlp", "args": {"hidden": [8]}},
        "groups": [{"name": "biases", "match": "bias", "lr_scale": 2}],
        "train": {"steps": CHANGES, "device": "cpu", "compile": True},
    }
    parts = build(Spec.model_validate(spec | sections), "compiled")
    actuator = Actuator(parts.optimizer, is_compiled=is_compiled(parts.optimizer))
    return (
        parts,
        actuator,
        Learner(parts.model, parts.loss, parts.optimizer, parts.spec.train, parts.device),
    )


@pytest.mark.parametrize(
    "sections",
    [
        {"optimizer": {"name": "AdamW", "lr": 0.01}},
        {"optimizer": {"name": "SGD", "lr": 0.01, "args": {"momentum": 0.9}}},
    ],
    ids=["AdamW", "SGD"],
)
def test_a_thousand_changes_compile_nothing_after_the_first(
    graphs: Any, sections: dict[str, Any]
) -> None:
    parts, actuator, learner = compiled(**sections)
    after_two = 0

    for step in range(CHANGES):
        actuator.write([0.01 / (step + 1), 0.02 / (step + 1)])
        learner.learn(step, *parts.batches.batch(step), measure_norm=False)
        if step == 1:
            after_two = graphs()

    assert after_two > 0
    assert graphs() == after_two


def test_a_compiled_step_uses_the_lr_to_the_last_bit_that_float64_has(graphs: Any) -> None:
    parts, actuator, learner = compiled(optimizer={"name": "SGD", "lr": 0.01})
    weight = parts.optimizer.param_groups[1]["params"][0]

    for lr in (0.1, 0.05, 0.0):
        actuator.write([lr, lr])
        before = weight.detach().clone()
        learner.learn(0, *parts.batches.batch(0), measure_norm=False)
        assert torch.equal(weight, before - lr * weight.grad)

    assert [type(group["lr"]) for group in parts.optimizer.param_groups] == [Tensor, Tensor]
    assert actuator.read() == [0.0, 0.0]


def test_an_optimizer_that_torch_cannot_compile_whole_steps_as_it_is(graphs: Any) -> None:
    parts, actuator, learner = compiled(optimizer={"name": "Adafactor", "lr": 0.01})

    learner.learn(0, *parts.batches.batch(0), measure_norm=False)

    assert not is_compiled(parts.optimizer)
    assert actuator.read() == [0.01, 0.01]
    assert all(isinstance(group["lr"], float) for group in parts.optimizer.param_groups)


def test_every_class_that_is_compiled_is_one_of_torchs_own() -> None:
    assert {cls.__module__.partition(".")[0] for cls in COMPILED} == {"torch"}
