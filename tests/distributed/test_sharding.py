"""Models of which each process has a part."""

import pytest
import torch
from safetensors.torch import load_file
from tests.distributed.ranks import train

from rheostat.runs.messages import (
    EvaluateCommand,
    Evaluated,
    Finished,
    ProbeCommand,
    Probed,
    RollbackCommand,
    SaveCommand,
)
from rheostat.runs.starting import CHECKPOINTS_FOLDER, StartOrder

SPEC = {
    "model": {"name": "mlp", "args": {"hidden": [17, 16]}},
    "data": {"batch_size": 51},
    "optimizer": {"name": "AdamW", "lr": 0.01},
    "schedule": {"name": "cosine"},
    "train": {
        "steps": 40,
        "device": "cpu",
        "accumulate": 2,
        "grad_clip": 0.5,
        "gradient_norm_every": 10,
        "parallel": "fsdp",
    },
    "evaluate": {"every": 20},
    "checkpoint": {"every_seconds": 0, "keep": 9, "keep_best": 0},
}
COMMANDS = {
    10: [SaveCommand(command_id=1)],
    20: [ProbeCommand(command_id=2, learning_rates=(0.1, 0.001), steps=3)],
    25: [EvaluateCommand(command_id=3)],
    30: [RollbackCommand(command_id=4, step=15, skip=1, scale=0.5)],
}


def weights(folder):
    return load_file(folder / "model.safetensors")


def test_parts_of_a_model_train_probe_evaluate_and_go_back_as_the_whole_does(tmp_path):
    alone = train(tmp_path / "one", SPEC, 1, COMMANDS)
    together = train(tmp_path / "two", SPEC, 2, COMMANDS)

    assert isinstance(together.last, Finished), together.last
    assert together.codes == {0: 0, 1: 0}
    for column in ("train_loss", "gradient_norm", "validation_loss", "learning_rate"):
        assert together.column(column) == pytest.approx(alone.column(column), rel=1e-3)
    for kind, value in ((Probed, "losses"), (Evaluated, "validation_loss")):
        [here], [there] = alone.all(kind), together.all(kind)
        expected = torch.tensor(getattr(here, value))
        assert torch.allclose(torch.tensor(getattr(there, value)), expected, rtol=1e-3)
    for name, tensor in weights(tmp_path / "one").items():
        assert torch.allclose(weights(tmp_path / "two")[name], tensor, atol=1e-3), name


def test_a_checkpoint_of_parts_is_gone_on_from_to_the_last_bit_dropout_included(tmp_path):
    spec = SPEC | {"model": {"name": "tests.distributed.plugins.dropping:net"}}
    whole = train(tmp_path, spec, 2, {25: [SaveCommand(command_id=1, pin=True)]})
    expected = weights(tmp_path)
    [checkpoint] = (tmp_path / CHECKPOINTS_FOLDER).glob("step-*")
    order = StartOrder(checkpoint=str(checkpoint), attempt=2)

    rest = train(tmp_path, spec, 2, order=order)
    same = weights(tmp_path)

    losses = whole.column("train_loss")
    assert rest.column("train_loss") == {step: losses[step] for step in range(25, 40)}
    for name, tensor in expected.items():
        assert torch.equal(same[name], tensor), name
