"""A checkpoint of several processes is gone on from by as many, by one and by more."""

import pytest
import torch
from safetensors.torch import load_file
from tests.distributed.ranks import train

from rheostat.runs.messages import SaveCommand
from rheostat.runs.starting import CHECKPOINTS_FOLDER, StartOrder

SPEC = {
    "model": {"name": "tests.distributed.plugins.dropping:net"},
    "data": {"batch_size": 64},
    "optimizer": {"name": "AdamW", "lr": 0.01},
    "schedule": {"name": "cosine"},
    "train": {"steps": 60, "device": "cpu"},
    "evaluate": {"every": 30},
    "checkpoint": {"every_seconds": 0, "keep_best": 0},
}
PLAIN = SPEC | {"model": {"name": "mlp", "args": {"hidden": [16]}}}


def weights(folder):
    return load_file(folder / "model.safetensors")


def begin(folder, spec, world_size):
    """Train to the end, with a checkpoint on the way; return what was told, and the order."""
    told = train(folder, spec, world_size, {25: [SaveCommand(command_id=1, pin=True)]})
    [checkpoint] = (folder / CHECKPOINTS_FOLDER).glob("step-*")
    return told, StartOrder(checkpoint=str(checkpoint), attempt=2)


def test_two_processes_go_on_to_the_last_bit_dropout_and_buffers_included(tmp_path):
    whole, order = begin(tmp_path, SPEC, 2)
    expected = weights(tmp_path)

    rest = train(tmp_path, SPEC, 2, order=order)

    losses = whole.column("train_loss")
    assert rest.column("train_loss") == {step: losses[step] for step in range(25, 60)}
    assert rest.column("validation_loss")[60] == whole.column("validation_loss")[60]
    for name, tensor in weights(tmp_path).items():
        assert torch.equal(tensor, expected[name]), name


@pytest.mark.parametrize("world_size", [1, 4])
def test_a_checkpoint_of_two_processes_is_gone_on_from_by_one_and_by_four(tmp_path, world_size):
    whole, order = begin(tmp_path, PLAIN, 2)

    rest = train(tmp_path, PLAIN, world_size, order=order)

    losses = whole.column("train_loss")
    expected = {step: losses[step] for step in range(25, 60)}
    assert rest.column("train_loss") == pytest.approx(expected, rel=1e-4)


def test_four_processes_go_on_where_one_has_been(tmp_path):
    whole, order = begin(tmp_path, PLAIN, 1)

    rest = train(tmp_path, PLAIN, 4, order=order)

    losses = whole.column("train_loss")
    expected = {step: losses[step] for step in range(25, 60)}
    assert rest.codes == {0: 0, 1: 0, 2: 0, 3: 0}
    assert rest.column("train_loss") == pytest.approx(expected, rel=1e-4)
