"""Checkpoints of which each rank writes its own part."""

import hashlib
import math
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.distributed.plugins.writing import be_elsewhere, die_at_the_second, fail_once
from tests.distributed.ranks import KILLED, Told, train

from rheostat.runs.checkpoints import adopt, list_checkpoints, newest_good, read_manifest, verify
from rheostat.runs.messages import (
    Finished,
    PauseCommand,
    RollbackCommand,
    SaveCommand,
    Saved,
    SaveFailed,
    StopCommand,
)
from rheostat.runs.starting import CHECKPOINTS_FOLDER, StartOrder
from rheostat.spec.models import Spec
from rheostat.trainer.checkpoints.reading import read_state
from rheostat.trainer.checkpoints.state import MODEL, OPTIMIZER
from rheostat.trainer.distributed.launching import EXIT_LOST

SPEC: dict[str, Any] = {
    "model": {"name": "tests.distributed.plugins.rooted:net"},
    "data": {"batch_size": 48},
    "optimizer": {"name": "AdamW", "lr": 0.01},
    "schedule": {"name": "cosine"},
    "train": {"steps": 24, "device": "cpu", "parallel": "fsdp"},
    # Of the very steps of which checkpoints are.
    "evaluate": {"every": 5},
    "checkpoint": {
        "every_seconds": 0,
        "keep": 9,
        "keep_best": 0,
        "snapshots": {"every": 4, "keep": 2},
    },
}
DDP = SPEC | {"train": SPEC["train"] | {"parallel": "ddp"}}
COMMANDS = {
    5: [SaveCommand(command_id=1)],
    9: [RollbackCommand(command_id=2, step=8)],
    10: [SaveCommand(command_id=3)],
    20: [SaveCommand(command_id=4)],
}


class Saving:
    """A run of two ranks that has ended, with checkpoints of 8, 10 and 20 steps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told = train(folder, SPEC, 2, COMMANDS, before=partial(fail_once, folder))

    @property
    def checkpoints(self) -> Path:
        return self.folder / CHECKPOINTS_FOLDER

    def path(self, step: int) -> Path:
        return self.checkpoints / f"step-{step:012d}"


@pytest.fixture(scope="module")
def saving(tmp_path_factory: pytest.TempPathFactory) -> Saving:
    folder = tmp_path_factory.mktemp("saving") / "run"
    folder.mkdir()
    return Saving(folder)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def tensors_of(path: Path) -> dict[str, torch.Tensor]:
    """Return all tensors of model and optimizer, whoever wrote them."""
    state = read_state(path, spec_sha256=read_manifest(path).spec_sha256)
    return {
        f"{part}/{name}": one
        for part in (MODEL, OPTIMIZER)
        for name, one in state.tensors[part].items()
    }


def carry_over(path: Path, folder: Path, spec: dict[str, Any], world_size: int) -> Path:
    """Begin with a checkpoint of another run, stop at once, and return the checkpoint of that."""
    begun = folder / "begun"
    begun.mkdir(parents=True)
    text = Spec.model_validate(spec).model_dump_json()
    found = adopt(path, begun, run="run", spec=text)
    order = StartOrder(checkpoint=found.path, attempt=2)
    before = be_elsewhere if folder.name == "elsewhere" else None

    told = train(folder, spec, world_size, {10: [StopCommand()]}, order=order, before=before)

    assert isinstance(told.last, Finished), told.last
    [own] = list_checkpoints(folder / CHECKPOINTS_FOLDER)
    assert own.step == 10
    return Path(own.path)


def assert_same(path: Path, expected: Path) -> None:
    there, here = tensors_of(path), tensors_of(expected)
    assert there.keys() == here.keys()
    for name, tensor in here.items():
        assert torch.equal(there[name], tensor), name


def test_saving_going_back_and_a_full_disk_do_not_change_a_bit_of_the_training(saving, tmp_path):
    undisturbed = train(tmp_path, SPEC, 2)

    assert isinstance(saving.told.last, Finished), saving.told.last
    assert saving.told.codes == {0: 0, 1: 0}
    assert saving.told.column("train_loss") == undisturbed.column("train_loss")
    for name, tensor in weights(tmp_path).items():
        assert torch.equal(weights(saving.folder)[name], tensor), name


def test_a_rank_that_cannot_write_its_part_is_named_and_nothing_is_left(saving):
    [failed] = saving.told.all(SaveFailed)

    assert (failed.command_id, failed.step) == (1, 5)
    assert failed.message == "rank 1: [Errno 28] No space left on device"
    found = [one.info for one in saving.told.all(Saved)]
    assert [(one.step, one.reason) for one in found] == [
        (8, "rollback"),
        (10, "asked"),
        (20, "asked"),
    ]
    assert sorted(one.name for one in saving.checkpoints.iterdir()) == [
        Path(one.path).name for one in found
    ]


def test_each_file_has_one_ranks_part_and_nobody_brings_the_state_together(saving):
    whole = tensors_of(saving.path(10))
    names = {"index.json", "loop.safetensors", "state.json", "unacknowledged.msgpack"}
    shards = [
        {
            f"{part}/{name}": one
            for part in (MODEL, OPTIMIZER)
            for name, one in load_file(
                saving.path(10) / f"{part}-shard-{number:05d}-of-00002.safetensors"
            ).items()
        }
        for number in (1, 2)
    ]

    files = verify(saving.path(10)).files
    assert {one for one in files if "-shard-" not in one} == names
    assert len(files) == len(names) + 4
    cut = {name for name, tensor in whole.items() if tensor.numel() > 1 and "norm.r" not in name}
    assert {"model/first.weight", "model/blocks.0.weight"} < cut
    for name in cut:
        rows = math.ceil(len(whole[name]) / 2)
        first, second = (shard[name] for shard in shards)
        assert len(first) == rows, name
        assert torch.equal(torch.cat([first, second]), whole[name]), name
    assert shards[1].keys() == cut
    # At the end, the weights are; and no moments ever.
    expected = sorted(
        one.numel() for name, one in whole.items() if name in cut and "model/" in name
    )
    for rank in (0, 1):
        sizes = map(int, (saving.folder / f"wholes-{rank}").read_text().split())
        assert sorted(one for one in sizes if one > 1) == expected  # a norm is one number


def test_two_go_on_from_their_parts_to_the_last_bit(saving, tmp_path):
    rest = train(tmp_path, SPEC, 2, order=StartOrder(checkpoint=str(saving.path(10)), attempt=2))

    losses = saving.told.column("train_loss")
    assert rest.column("train_loss") == {step: loss for step, loss in losses.items() if step >= 10}
    for name, tensor in weights(saving.folder).items():
        assert torch.equal(weights(tmp_path)[name], tensor), name


def test_any_number_of_processes_sharded_or_not_go_on_from_parts_and_from_wholes(saving, tmp_path):
    parts = saving.path(10)

    by_one = carry_over(parts, tmp_path / "one", SPEC, 1)
    by_three = carry_over(parts, tmp_path / "three", SPEC, 3)
    replicas = carry_over(by_three, tmp_path / "replicas", DDP, 2)
    parts_again = carry_over(by_one, tmp_path / "again", SPEC, 2)
    elsewhere = carry_over(parts, tmp_path / "elsewhere", SPEC, 2)

    written = {
        by_one: {"model.safetensors"},
        by_three: {f"model-shard-{one:05d}-of-00003.safetensors" for one in (1, 2, 3)},
        replicas: {"model.safetensors"},
        parts_again: {f"model-shard-{one:05d}-of-00002.safetensors" for one in (1, 2)},
        # Ranks that do not see the folder have their parts brought together.
        elsewhere: {"model.safetensors"},
    }
    for path, names in written.items():
        assert {one.name for one in path.glob("model*")} == names
        assert_same(path, parts)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
def test_a_damaged_part_is_refused_by_name_and_the_checkpoint_before_is_used(
    saving, tmp_path, damage
):
    folder = shutil.copytree(saving.checkpoints, tmp_path / "checkpoints")
    name = "optimizer-shard-00002-of-00002.safetensors"
    shard = folder / saving.path(20).name / name
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    if damage == "missing":
        shard.unlink()
    else:
        shard.write_bytes(data if damage == "flipped" else data[:-1])

    found, [why] = newest_good(folder)

    assert found is not None
    assert found.step == 10
    assert name in why
    assert {"flipped": "damaged", "truncated": "bytes, not", "missing": "cannot be read"}[
        damage
    ] in why


def test_an_index_that_names_what_the_manifest_does_not_is_refused(saving, tmp_path):
    path = shutil.copytree(saving.path(10), tmp_path / "step-000000000010")
    index = path / "index.json"
    index.write_text(index.read_text().replace("model-shard-00002-of-00002", "elsewhere"))
    manifest = (path / "manifest.json").read_text()
    known = read_manifest(path).files["index.json"]
    data = index.read_bytes()
    manifest = manifest.replace(known.sha256, hashlib.sha256(data).hexdigest())
    manifest = manifest.replace(f'"bytes":{known.bytes},', f'"bytes":{len(data)},')
    (path / "manifest.json").write_text(manifest)

    with pytest.raises(Exception, match="has no elsewhere"):
        read_state(path, spec_sha256=read_manifest(path).spec_sha256)


def test_a_rank_that_dies_as_it_writes_leaves_the_checkpoint_before(tmp_path):
    # A run that stands still cannot come to its end before.
    commands = {4: [SaveCommand(command_id=1)], 8: [SaveCommand(command_id=2), PauseCommand()]}
    told: Told = train(tmp_path, SPEC, 2, commands, before=die_at_the_second)

    assert told.codes == {0: EXIT_LOST, 1: KILLED}
    found, refused = newest_good(tmp_path / CHECKPOINTS_FOLDER)
    assert (found and found.step, refused) == (4, [])
