"""The small parts of what several processes say to each other."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rheostat.trainer.data.ordering import Share
from rheostat.trainer.distributed.digest import Digest, RatesDiffer, compare
from rheostat.trainer.distributed.words import Op, Word, decode, encode, length

RATES = st.floats(min_value=0.0, allow_nan=False, allow_infinity=False)


@given(st.integers(1, 64), st.integers(0, 4096))
def test_shares_are_disjoint_cover_a_batch_and_differ_by_a_sample_at_most(world_size, samples):
    batch = list(range(samples))
    shares = [batch[Share(rank, world_size).of(samples)] for rank in range(world_size)]

    assert [one for share in shares for one in share] == batch
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@given(
    st.sampled_from(Op),
    st.lists(st.tuples(RATES, st.none() | st.floats(0.0, 1.0)), min_size=1, max_size=9),
    st.integers(0, 2**53),
    st.booleans(),
    st.booleans(),
)
def test_a_word_is_heard_as_it_was_said_to_the_last_bit(op, groups, index, measures, checks):
    rates, momenta = zip(*groups, strict=True)
    word = Word(
        op=op,
        learning_rates=list(rates),
        momenta=list(momenta),
        index=index,
        measures_norm=measures,
        checks=checks,
    )

    vector = encode(word)

    assert vector.shape == (length(len(groups)),)
    assert decode(vector) == word


def optimizer(lr, *, tensor=False):
    value = torch.tensor(lr, dtype=torch.float64) if tensor else lr
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=value)


def test_a_digest_is_of_what_stands_in_the_optimizer_and_not_of_what_was_said():
    honest, astray = Digest(optimizer(0.1)), Digest(optimizer(0.2))

    for index in range(3):
        honest.note(index, [0.1])
        astray.note(index, [0.1])

    assert honest.value != astray.value
    with pytest.raises(RatesDiffer, match=r"rank 1 took the step of batch 0 with the LRs \[0.2\]"):
        compare([honest.told(), astray.told()])


def test_a_float_and_a_tensor_of_the_same_rate_have_the_same_digest():
    plain, filled = Digest(optimizer(0.1)), Digest(optimizer(0.1, tensor=True))

    plain.note(7, [0.1])
    filled.note(7, [0.1])

    assert plain.value == filled.value
    compare([plain.told(), filled.told()])


def test_a_difference_that_nobody_remembers_is_told_too():
    honest, astray = Digest(optimizer(0.1)), Digest(optimizer(0.1))
    astray.value = 1

    with pytest.raises(RatesDiffer, match="rank 1"):
        compare([honest.told(), astray.told()])
