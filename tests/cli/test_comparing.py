"""Two runs beside each other, and runs beneath those they were made from."""

import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.cli.comparing import Difference, compare
from rheostat.cli.listing import lineage
from rheostat.runs.records import Origin, Phase, RunView, StepRows


def doubles(*values):
    return struct.pack(f"<{len(values)}d", *values)


def rows(*losses, first_step=0, lr=0.1, **fields):
    return StepRows(
        first_step=first_step,
        count=len(losses),
        train_loss=doubles(*losses),
        learning_rate={"default": doubles(*[lr] * len(losses))},
        duration=doubles(*range(len(losses))),
        **fields,
    )


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=20), st.data())
def test_runs_with_the_same_numbers_are_equal_however_their_steps_are_cut(losses, data):
    cut = data.draw(st.integers(0, len(losses)))
    parts = [rows(*losses[:cut]), rows(*losses[cut:], first_step=cut)]

    assert compare([rows(*losses)], [part for part in parts if part.count]) == (len(losses), None)


def test_the_last_bit_counts():
    almost = 0.1 + 0.2
    equal, found = compare([rows(1.0, 0.3)], [rows(1.0, almost)])

    assert equal == 1
    assert found == Difference(step=1, column="train_loss", first=0.3, second=almost)
    assert compare([rows(0.0)], [rows(-0.0)])[1] is not None


def test_another_lr_is_told_before_the_loss_it_led_to():
    _, found = compare([rows(1.0)], [rows(2.0, lr=0.2)])

    assert found is not None
    assert found.column == "learning_rate.default"


def test_a_run_that_ends_sooner_differs_where_it_ends():
    equal, found = compare([rows(1.0, 2.0)], [rows(1.0)])

    assert equal == 1
    assert found == Difference(step=1, column="learning_rate.default", first=0.1, second=None)


def test_steps_before_the_first_that_counts_are_not_looked_at():
    assert compare([rows(9.0, 2.0, 3.0)], [rows(1.0, 2.0, 3.0)], from_step=1) == (2, None)


def test_a_validation_is_compared_where_both_runs_have_one():
    once, other = rows(1.0, 1.0), rows(1.0, 1.0, validation_loss={1: 0.5})
    different = msgspec.structs.replace(other, validation_loss={1: 0.25})

    assert compare([once], [other]) == (2, None)
    found = compare([different], [other])[1]
    assert found == Difference(step=0, column="validation_loss", first=0.25, second=0.5)


def view(name, of=None):
    origin = None if of is None else Origin(run=of, kind="fork", step=5)
    return RunView(name=name, phase=Phase.QUEUED, spec="{}", origin=origin)


@pytest.mark.parametrize(
    ("views", "expected"),
    [
        ([view("a"), view("b")], ["a", "b"]),
        ([view("a"), view("b"), view("c", "a")], ["a", "└ c", "b"]),
        (
            [view("a"), view("b", "a"), view("c", "b"), view("d", "a"), view("e", "d")],
            ["a", "├ b", "│ └ c", "└ d", "  └ e"],
        ),
        ([view("orphan", "gone")], ["orphan"]),
    ],
)
def test_each_run_stands_beneath_the_one_it_was_made_from(views, expected):
    assert [indent + found.name for indent, found in lineage(views)] == expected
