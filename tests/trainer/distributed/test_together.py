"""Two processes train as one would."""

import pytest
from tests.distributed.ranks import train

SPEC = {
    "model": {"name": "mlp", "args": {"hidden": [16]}},
    "data": {"batch_size": 51},
    "optimizer": {"name": "SGD", "lr": 0.1, "args": {"momentum": 0.9}},
    "schedule": {"name": "cosine"},
    "policies": [{"name": "loss_spike"}],
    "train": {
        "steps": 40,
        "device": "cpu",
        "accumulate": 2,
        "grad_clip": 0.5,
        "gradient_norm_every": 10,
    },
    "evaluate": {"every": 20},
}


def test_two_processes_have_the_losses_norms_and_validations_of_one(tmp_path):
    alone = train(tmp_path / "one", SPEC, 1)
    together = train(tmp_path / "two", SPEC, 2)

    assert together.codes == {0: 0, 1: 0}
    assert together.column("learning_rate") == alone.column("learning_rate")
    for column in ("train_loss", "gradient_norm", "validation_loss", "validation_accuracy"):
        there = together.column(column)
        assert len(there) == {"train_loss": 40, "gradient_norm": 4}.get(column, 2)
        assert there == pytest.approx(alone.column(column), rel=1e-5)
