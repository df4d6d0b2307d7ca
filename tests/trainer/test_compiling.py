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


def compiled(is_masked: bool = False, **sections: Any) -> tuple[Any, Actuator, Learner]:
    spec = {
        "model": {"name": "mlp", "args": {"hidden": [8]}},
        "groups": [{"name": "biases", "match": "bias", "lr_scale": 2}],
        "train": {"steps": CHANGES, "device": "cpu", "compile": True},
    }
    parts = build(Spec.model_validate(spec | sections), "compiled")
    actuator = Actuator(parts.optimizer, is_compiled=is_compiled(parts.optimizer))
    train = parts.spec.train
    learner = Learner(
        parts.model, parts.loss, parts.optimizer, train, parts.device, is_masked=is_masked
    )
    return parts, actuator, learner


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


@pytest.mark.parametrize(
    ("name", "args"), [("AdamW", {}), ("SGD", {"momentum": 0.9, "weight_decay": 0.01})]
)
def test_momenta_and_weight_decay_that_change_each_step_cost_one_more_graph_for_each(
    graphs: Any, name: str, args: dict[str, float]
) -> None:
    parts, actuator, learner = compiled(optimizer={"name": name, "lr": 0.01, "args": args})
    counts = []

    for step in range(50):
        momentum = 0.5 + step / 200
        actuator.write([0.01, 0.01 / (step + 1)])
        actuator.write_momenta([momentum, momentum / 2])
        if step >= 10:
            for group in parts.optimizer.param_groups:
                group["weight_decay"] = 0.01 + step / 1000
        learner.learn(step, *parts.batches.batch(step), measure_norm=False)
        counts.append(graphs())

    assert counts[-1] - counts[0] <= 2
    assert counts[12] == counts[-1], "and nothing after the first change"


@pytest.mark.parametrize("mode", [True, "default", "reduce-overhead", "max-autotune"])
def test_a_mode_is_that_of_the_model_and_the_optimizers_step_has_torchs_default(
    monkeypatch: pytest.MonkeyPatch, mode: Any
) -> None:
    asked = []

    def compile(made: Any, **options: Any) -> Any:
        asked.append(options.get("mode"))
        return made

    monkeypatch.setattr(torch, "compile", compile)

    compiled(train={"steps": 1, "device": "cpu", "compile": mode})

    assert asked == [None if mode is True else mode, None]


def test_a_compiled_step_puts_the_weights_back_after_a_loss_that_is_not_finite(
    graphs: Any,
) -> None:
    parts, _, learner = compiled(is_masked=True, optimizer={"name": "RMSprop", "lr": 0.01})
    inputs, targets = parts.batches.batch(0)
    learner.begin(inputs, targets, measure_norm=False)
    before = [one.detach().clone() for one in parts.model.parameters()]

    for values in (inputs * torch.inf, inputs):
        learner.begin(values, targets, measure_norm=False)

    assert all(torch.equal(a, b) for a, b in zip(parts.model.parameters(), before, strict=True))


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
