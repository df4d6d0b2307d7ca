import os

import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset

from rheostat.spec.models import DataSpec
from rheostat.trainer.data import Data, DataDescription, StreamedSplit
from rheostat.trainer.data.batches import make_batches, validation_batches
from rheostat.trainer.data.image_folder import ImageFiles

CPU = torch.device("cpu")


class Noisy(Dataset):
    """A data set that draws a random number with every sample."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        return torch.full((2,), float(index)) + torch.rand(2) / 2, index


class Grey(Dataset):
    """uint8 images of one grey each."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        return torch.full((1, 2, 2), 20 * index, dtype=torch.uint8), index % 2


def streamed(dataset):
    split = StreamedSplit(dataset)
    return Data(split, split, DataDescription((2,), 10, 10, 10))


def draw(batches, steps):
    return [batches.batch(step) for step in steps]


def test_any_step_gives_the_batch_it_gives_in_order():
    in_order = draw(make_batches(streamed(Noisy()), 4, 7, CPU), range(5))
    resumed = make_batches(streamed(Noisy()), 4, 7, CPU)

    for step in (3, 4, 1):
        inputs, targets = resumed.batch(step)
        assert inputs.equal(in_order[step][0])
        assert targets.equal(in_order[step][1])


def test_the_order_is_that_of_resident_data():
    batches = make_batches(streamed(Noisy()), 5, 7, CPU)

    dealt = torch.cat([targets for _, targets in draw(batches, range(2))])

    assert sorted(dealt.tolist()) == list(range(10))


def test_starting_the_workers_leaves_the_global_generator_alone():
    batches = make_batches(streamed(Noisy()), 4, 7, CPU)
    before = torch.random.get_rng_state()

    batches.batch(0)

    assert torch.random.get_rng_state().equal(before)


def test_bytes_are_normalised():
    data = streamed(Grey())

    inputs, _ = make_batches(data, 10, 0, CPU).batch(0)

    assert inputs.dtype == torch.float32
    assert abs(float(inputs.mean())) < 1e-5


def test_validation_gives_every_sample_once_in_order_each_time():
    batches = validation_batches(streamed(Grey()), 4, CPU)

    for _ in range(2):
        assert [targets.tolist() for _, targets in batches] == [[0, 1, 0, 1], [0, 1, 0, 1], [0, 1]]


def test_a_damaged_image_is_named_when_it_is_met(tmp_path):
    paths = [tmp_path / "whole.png", tmp_path / "damaged.png"]
    Image.new("RGB", (8, 8)).save(paths[0])
    paths[1].write_bytes(paths[0].read_bytes()[:40])
    split = StreamedSplit(ImageFiles(paths, torch.tensor([0, 1]), 8))
    data = Data(split, split, DataDescription((3, 8, 8), 2, 2, 2))

    with pytest.raises(ValueError, match=r"damaged\.png is not an image that can be read"):
        list(validation_batches(data, 2, CPU))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_resumed_with_any_number_of_workers_meets_the_same_batches(workers):
    in_order = draw(make_batches(streamed(Noisy()), 4, 7, CPU), range(7))
    spec = DataSpec(workers=workers, prefetch=3)

    resumed = draw(make_batches(streamed(Noisy()), 4, 7, CPU, spec), range(5, 7))

    for (inputs, targets), (expected, classes) in zip(resumed, in_order[5:], strict=True):
        assert inputs.equal(expected)
        assert targets.equal(classes)


class Named(Grey):
    """Says which process fetched a sample."""

    def __getitem__(self, index):
        return torch.tensor([float(os.getpid())]), 0


def test_a_validation_keeps_its_workers_for_the_next():
    batches = validation_batches(streamed(Named()), 5, CPU, DataSpec(workers=2))

    processes = [{int(pid) for inputs, _ in batches for pid in inputs.unique()} for _ in range(2)]

    assert len(processes[0]) == 2
    assert processes[0] == processes[1]


def test_as_many_processes_fetch_as_the_spec_says():
    batches = make_batches(streamed(Named()), 2, 0, CPU, DataSpec(workers=2))

    assert len({int(batches.batch(step)[0][0]) for step in range(5)}) == 2
