import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.cli.sparkline import Trace, sparkline

finite = st.floats(-1e6, 1e6)


def traced(values, points=8):
    trace = Trace(points)
    for step, value in enumerate(values):
        trace.add(step, value)
    return trace


@given(st.lists(finite, max_size=200), st.integers(1, 40))
def test_a_sparkline_fits_its_width_and_fills_it_where_it_can(values, width):
    assert len(sparkline(values, width)) == min(len(values), width)


@given(st.lists(finite, min_size=2, max_size=40))
def test_the_lowest_and_the_highest_value_have_the_lowest_and_the_highest_block(values):
    line = sparkline(values, 40)

    if max(values) > min(values):
        assert line[values.index(min(values))] == "▁"
        assert line[values.index(max(values))] == "█"
    else:
        assert set(line) == {"▄"}


def test_what_spans_decades_is_drawn_on_a_logarithmic_scale():
    assert sparkline([10.0**-exponent for exponent in range(8)], 8) == "█▇▆▅▄▃▂▁"


def test_no_value_makes_no_line():
    assert sparkline([], 10) == ""


@given(st.integers(1, 5000), st.sampled_from([2, 8, 64]))
def test_a_trace_keeps_a_bounded_number_of_points_that_cover_the_whole_run(steps, points):
    values = traced(map(float, range(steps)), points).values

    assert len(values) <= points
    assert values == sorted(values)
    assert values[0] <= steps / points
    assert values[-1] >= steps - 1 - 2 * steps / points


def test_points_are_means_over_equally_many_steps():
    assert traced([1.0, 3.0, 5.0, 7.0], points=2).values == [2.0, 6.0]


def test_steps_that_nobody_saw_are_drawn_as_the_last_one_seen():
    trace = Trace(8)
    trace.add(1, 5.0)
    trace.add(4, 7.0)

    assert trace.values == [5.0, 5.0, 5.0, 7.0]


def test_a_step_back_takes_back_what_came_after_it():
    trace = traced([1.0, 2.0, 3.0, 4.0])
    trace.add(1, 2.0)

    assert trace.values == [1.0, 2.0]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_is_told_and_not_drawn(value):
    trace = traced([1.0, value])

    assert trace.values == [1.0]
    assert trace.last is value
