import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rheostat.errors import InvalidSpec
from rheostat.spec.models import DataSpec
from rheostat.trainer.data import Data, DataDescription, ResidentSplit, load_data, resident
from rheostat.trainer.data.batches import make_batches, validation_batches

CPU = torch.device("cpu")


def numbered(samples, dtype=torch.float32):
    """Return data whose targets are the indices of their samples."""
    inputs = torch.arange(samples).reshape(samples, 1).to(dtype)
    split = ResidentSplit(inputs, torch.arange(samples))
    return Data(split, split, DataDescription((1,), samples, samples, samples))


def targets(batches, steps):
    return [batches.batch(step)[1].tolist() for step in steps]


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**63 - 1), st.integers(0, 3))
def test_the_batches_of_an_epoch_are_a_permutation(samples, batch_size, seed, epoch):
    batch_size = min(batch_size, samples)
    batches = make_batches(numbered(samples), batch_size, seed, CPU)
    first = epoch * batches.steps_per_epoch

    steps = range(first, first + batches.steps_per_epoch)
    dealt = [sample for batch in targets(batches, steps) for sample in batch]

    assert batches.steps_per_epoch == samples // batch_size
    assert len(set(dealt)) == len(dealt) == batches.steps_per_epoch * batch_size
    assert set(dealt) <= set(range(samples))


@given(st.lists(st.integers(0, 30), min_size=1, max_size=10))
def test_a_batch_does_not_depend_on_what_was_asked_before(steps):
    in_order = targets(make_batches(numbered(17), 4, 3, CPU), range(31))
    batches = make_batches(numbered(17), 4, 3, CPU)

    assert targets(batches, steps) == [in_order[step] for step in steps]


def test_a_batch_stays_what_it_was_until_another_epoch_begins():
    batches = make_batches(numbered(16), 4, 0, CPU)
    inputs, _ = batches.batch(0)
    before = inputs.clone()

    batches.batch(3)

    assert inputs.equal(before)


def test_seeds_and_epochs_give_orders_of_their_own():
    orders = {
        tuple(make_batches(numbered(50), 50, seed, CPU).batch(epoch)[1].tolist())
        for seed in range(5)
        for epoch in range(5)
    }

    assert len(orders) == 25


def test_a_batch_larger_than_the_set_is_refused():
    with pytest.raises(InvalidSpec, match=r"data\.batch_size = 9: at most 8"):
        make_batches(numbered(8), 9, 0, CPU)


@pytest.mark.parametrize("limit", ["FLOAT_BYTES", "GATHER_BYTES"])
def test_large_sets_give_the_same_batches_as_small_ones(monkeypatch, limit):
    data = load_data(DataSpec())
    small = make_batches(data, 64, 0, CPU)
    monkeypatch.setattr(resident, limit, 0)
    large = make_batches(data, 64, 0, CPU)

    for step in (0, 21, 22, 5):
        assert large.batch(step)[0].equal(small.batch(step)[0])
        assert large.batch(step)[1].equal(small.batch(step)[1])


@pytest.mark.parametrize("limit", [resident.FLOAT_BYTES, 0])
def test_runs_that_share_a_set_have_the_batches_of_one_by_itself(monkeypatch, limit):
    monkeypatch.setattr(resident, "FLOAT_BYTES", limit)
    data = load_data(DataSpec())
    shared = resident.ready_for_many(data)

    assert (shared.normalisation is None) == (limit > 0)
    own, theirs = make_batches(data, 64, 0, CPU), make_batches(shared, 64, 0, CPU)
    for step in (0, 21, 22):
        assert theirs.batch(step)[0].equal(own.batch(step)[0])
    validations = (validation_batches(one, 100, CPU) for one in (data, shared))
    for (inputs, targets), (mine, wanted) in zip(*validations, strict=True):
        assert mine.equal(inputs)
        assert wanted.equal(targets)


def test_validation_gives_every_sample_once_in_order_each_time():
    batches = validation_batches(numbered(10), 4, CPU)

    for _ in range(2):
        assert [part.tolist() for _, part in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_validation_is_normalised_by_the_training_set():
    data = load_data(DataSpec())

    ready = torch.cat([inputs for inputs, _ in validation_batches(data, 100, CPU)])

    assert ready.equal(data.normalisation(data.validation.inputs))


def test_drawing_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()

    make_batches(numbered(8), 4, 0, CPU).batch(5)

    assert torch.random.get_rng_state().equal(before)


def test_a_batch_of_digits_costs_next_to_nothing():
    batches = make_batches(load_data(DataSpec()), 64, 0, CPU)
    weights = torch.randn(64, 64)
    batches.batch(0)

    def cost(work):
        times = []
        for _ in range(5):
            started = time.perf_counter()
            for step in range(batches.steps_per_epoch):
                work(step)
            times.append(time.perf_counter() - started)
        return min(times)

    # Against work of the same machine: a step has dozens of operations like this one.
    assert cost(batches.batch) < cost(lambda step: torch.relu(weights @ weights))
