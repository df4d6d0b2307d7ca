"""The children of the literature: they are specs, and they train."""

from itertools import product
from pathlib import Path

import pytest

from rheostat.errors import InvalidSpec
from rheostat.learning.child import Child
from rheostat.learning.children import DATA, LRS, MODELS, child_task
from rheostat.learning.tasks import tasks_of
from rheostat.trainer.data.idx import FASHION_MNIST


@pytest.mark.parametrize(("model", "data"), [*product(MODELS, DATA)])
def test_every_child_is_a_valid_spec_with_its_learning_rates(model: str, data: str) -> None:
    (task,) = tasks_of([child_task(model, data, root=None if data == "digits" else "here")])

    assert task.name == f"{model}-{data.replace('_', '-')}"
    assert task.lrs == LRS
    assert task.variation(1e-4, 2).optimizer.lr == 1e-4
    assert task.variation(None, 2).train.seed == 2


@pytest.mark.parametrize("model", MODELS)
def test_a_child_trains_on_digits(model: str) -> None:
    (task,) = tasks_of([child_task(model, "digits", steps=3)])
    child = Child(task.spec, every=2)

    child.begin()
    child.advance({})

    assert child.is_over
    assert not child.has_diverged


@pytest.mark.skipif(
    not Path(FASHION_MNIST.default_root or "").is_dir(),
    reason="dataset-fashion-mnist is not installed (make parts)",
)
def test_the_papers_child_trains_on_fashion_mnist() -> None:
    (task,) = tasks_of([child_task("mlp", "fashion_mnist", steps=1)])
    child = Child(task.spec, every=1)

    child.begin()

    parts = child._loop.parts
    assert [tuple(one.shape) for one in parts.model.parameters()][::2] == [
        (256, 784),
        (128, 256),
        (10, 128),
    ]
    assert parts.data.description.validation_samples == 10_000


def test_files_that_are_missing_are_named() -> None:
    (task,) = tasks_of([child_task("mlp", "mnist", root="nowhere")])

    with pytest.raises(InvalidSpec, match=r"data\.root = nowhere"):
        Child(task.spec, every=10)
