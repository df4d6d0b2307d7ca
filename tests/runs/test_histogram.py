import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.runs.histogram import STEP_DURATION_BUCKETS, Histogram


def test_a_new_histogram_has_counted_nothing():
    histogram = Histogram()

    assert histogram.counts == [0] * 19
    assert histogram.sum == 0.0


def test_the_edges_ascend_from_100_microseconds_to_a_minute():
    edges = STEP_DURATION_BUCKETS

    assert edges[0] == 100e-6
    assert edges[-1] == 60.0
    assert all(low < high <= 3.01 * low for low, high in itertools.pairwise(edges))


def test_a_value_on_an_edge_belongs_to_the_bucket_below_it():
    histogram = Histogram((1.0, 2.0))

    histogram.observe_many([0.5, 1.0, 1.5, 2.0, 2.5])

    assert histogram.counts == [2, 2, 1]


def test_packed_doubles_count_as_the_numbers_they_are():
    histogram = Histogram((1.0, 2.0))

    histogram.observe_many(struct.pack("<3d", 0.5, 1.5, 9.0))

    assert histogram.counts == [1, 1, 1]
    assert histogram.sum == 11.0


@pytest.mark.parametrize("nothing", [[], b""])
def test_no_durations_change_nothing(nothing):
    histogram = Histogram((1.0,))

    histogram.observe_many(nothing)

    assert histogram.counts == [0, 0]


@given(st.lists(st.lists(st.floats(0, 1e6), max_size=20), max_size=5))
def test_batches_add_up_to_what_a_loop_would_count(batches):
    histogram = Histogram()
    for batch in batches:
        histogram.observe_many(batch)

    values = [value for batch in batches for value in batch]
    cumulative = [sum(value <= edge for value in values) for edge in histogram.buckets]
    assert [sum(histogram.counts[: i + 1]) for i in range(len(cumulative))] == cumulative
    assert sum(histogram.counts) == len(values)
    assert histogram.sum == pytest.approx(sum(values))
