"""Curves in buckets: nothing of what happened may get lost between them."""

import math
import struct
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.page.sketch import Sketch, told, width_for
from rheostat.page.sketches import Sketches
from rheostat.runs.records import StepRows
from rheostat.steering.records import Components, Decision, DecisionRecord, GroupState, RollbackEdit


def pack(values):
    return struct.pack(f"<{len(values)}d", *values)


def state(base=1.0, **fields):
    usual = {"name": "g", "learning_rate": base, "base": base, "factors": {}, "operator": 1.0}
    return GroupState(**(usual | fields))


def rows(first, losses, rates=None, components=(), **more):
    """Make a batch of one group; its LRs are its losses unless they are given."""
    rates = losses if rates is None else rates
    told = {
        step: msgspec.json.encode(Components(revision=1, in_force=(), groups=(one,))).decode()
        for step, one in dict(components).items()
    }
    return StepRows(
        first_step=first,
        count=len(losses),
        train_loss=pack(losses),
        learning_rate={"g": pack(rates)},
        base={"g": pack(rates)},
        duration=pack(losses),
        components=told,
        **more,
    )


numbers = st.floats(0.0, 1e6)


@given(
    losses=st.lists(numbers, min_size=1, max_size=300),
    cuts=st.sets(st.integers(1, 299), max_size=8),
    buckets=st.sampled_from([2, 8, 32]),
)
def test_extremes_and_means_are_those_of_the_steps_however_they_arrive(losses, cuts, buckets):
    sketch = Sketch(buckets=buckets)
    edges = sorted({0, *(one for one in cuts if one < len(losses)), len(losses)})
    for start, end in pairwise(edges):
        sketch.add(rows(start, losses[start:end]))

    assert sketch.end == len(losses)
    assert sketch.count <= buckets
    width = sketch.width
    pieces = [losses[at : at + width] for at in range(0, len(losses), width)]
    assert sketch.column("loss", "min") == [min(one) for one in pieces]
    assert sketch.column("loss", "max") == [max(one) for one in pieces]
    assert sketch.column("lr", "g", "last") == [one[-1] for one in pieces]
    means = [float(np.mean(one)) for one in pieces]
    assert sketch.column("loss", "mean") == pytest.approx(means)


def test_a_run_of_any_length_fills_at_least_half_of_the_buckets():
    sketch = Sketch(buckets=8)
    for first in range(0, 1000, 10):
        sketch.add(rows(first, [1.0] * 10))

        assert sketch.count > 4 or sketch.width == 1


def test_a_loss_that_is_no_number_is_left_out_and_leaves_no_hole_beside_others():
    sketch = Sketch(buckets=2, width=2)
    sketch.add(rows(0, [1.0, math.nan, math.inf, 3.0]))

    assert sketch.column("loss", "mean") == [1.0, 3.0]


def test_what_is_told_twice_counts_once():
    sketch = Sketch()
    sketch.add(rows(0, [1.0, 2.0]))
    sketch.add(rows(1, [2.0, 3.0]))

    assert sketch.column("loss", "mean") == [1.0, 2.0, 3.0]


def test_components_hold_from_their_step_on():
    sketch = Sketch()
    changes = {
        0: state(factors={"p": 1.0}),
        2: state(factors={"p": 0.5}, operator=2.0),
        3: state(factors={"p": 0.5}, hold=7.0, guardrails=("max_lr",)),
    }
    sketch.add(rows(0, [1.0] * 4, components=changes))
    sketch.add(rows(4, [1.0], components={4: changes[3]}))
    drawn = told(sketch, groups=["g"], focus="g")["components"]

    assert drawn["factors"] == {"p": [1.0, 1.0, 0.5, 0.5, 0.5]}
    assert drawn["operator"] == [1.0, 1.0, 2.0, 1.0, 1.0]
    assert drawn["hold"][3:] == [7.0, 7.0]
    assert all(math.isnan(one) for one in drawn["hold"][:3])
    assert drawn["bent"] == [0.0, 0.0, 0.0, 1.0, 1.0]


def test_a_hold_that_is_released_ends_where_buckets_are_joined_too():
    sketch = Sketch(buckets=2)
    sketch.add(rows(0, [1.0] * 2, components={0: state(hold=7.0), 1: state()}))
    sketch.add(rows(2, [1.0], components={2: state(hold=5.0)}))

    assert math.isnan(sketch.column("hold", "g")[0])
    assert sketch.column("hold", "g")[1] == 5.0


def test_the_lr_of_a_policy_in_shadow_moves_with_the_schedule():
    sketch = Sketch()
    changes = {0: state(base=2.0, shadows={"p": 1.0}), 2: state(hold=3.0, shadows={"p": 3.0})}
    sketch.add(rows(0, [2.0, 4.0, 6.0], components=changes))

    assert sketch.column("shadow", "g", "p") == [1.0, 2.0, 3.0]


def test_the_lr_of_a_policy_in_shadow_is_known_where_a_warm_up_begins_at_0():
    sketch = Sketch()
    first = state(base=0.0, operator=0.5, shadows={"p": 0.0})
    sketch.add(rows(0, [0.0, 4.0], components={0: first}))

    assert sketch.column("shadow", "g", "p") == [0.0, 2.0]


def test_validations_stand_at_the_bucket_of_the_step_before_them():
    sketch = Sketch(width=2)
    sketch.add(rows(0, [1.0] * 4, validation_loss={4: 0.5}, validation_accuracy={4: 0.9}))
    sketch.add(rows(4, [1.0], validation_loss={5: 0.4}))
    drawn = told(sketch, groups=[], focus=None)["validation"]

    assert drawn["step"][1:] == [4.0, 5.0]
    assert drawn["loss"][1:] == [0.5, 0.4]
    assert drawn["accuracy"][1] == 0.9


@given(steps=st.integers(0, 10**9), buckets=st.integers(2, 4096))
def test_the_width_of_a_bucket_lets_so_many_steps_fit_wherever_they_begin(steps, buckets):
    width = width_for(steps, buckets)

    assert width == 1 or steps >= width // 2 * (buckets - 1)
    assert -(-(steps + width - 1) // width) <= buckets


class Past:
    """A service whose one run has a past that a test writes."""

    def __init__(self, view):
        self.view = view
        self.rows = []
        self.records = []
        self.reads = []

    async def get_run(self, run):
        return msgspec.structs.replace(self.view, revision=len(self.records))

    async def export_run(self, run, *, undone=None, from_step=0):
        self.reads.append(from_step)
        for batch in self.rows:
            if batch.first_step + batch.count > from_step:
                yield batch

    async def list_decisions(self, run, *, after_revision=0, limit=100):
        return self.records[after_revision:][:limit]

    def roll_back(self, record, to_step):
        edit = RollbackEdit(from_step=9, to_step=to_step, to_revision=0, steps=100)
        revision = len(self.records) + 1
        made = Decision(
            revision=revision, applied_step=to_step, source="rollback", groups=(), rollback=edit
        )
        self.records.append(DecisionRecord(run="r", decision=made, previous_hash="", hash=""))


@pytest.fixture
def past(view_named):
    return Past(view_named("digits"))


async def test_steps_are_read_once(past):
    sketches = Sketches(past)
    past.rows = [rows(0, [1.0] * 3)]
    await sketches.whole("digits", is_urgent=True)
    past.rows.append(rows(3, [2.0]))
    _, sketch = await sketches.whole("digits", is_urgent=True)
    await sketches.whole("digits")

    assert sketch.column("loss", "mean") == [1.0, 1.0, 1.0, 2.0]
    assert past.reads == [0, 3]


async def test_what_a_rollback_has_undone_is_not_drawn_any_more(past, record_of):
    sketches = Sketches(past)
    past.rows = [rows(0, [1.0] * 4)]
    before, _ = await sketches.whole("digits", is_urgent=True)
    past.rows = [rows(0, [1.0] * 2), rows(2, [5.0])]
    past.roll_back(record_of, to_step=2)
    after, sketch = await sketches.whole("digits", is_urgent=True)

    assert before != after
    assert sketch.column("loss", "mean") == [1.0, 1.0, 5.0]


async def test_a_part_is_as_fine_as_there_is_room_for(past):
    past.rows = [rows(first, [float(first)] * 10) for first in range(0, 100, 10)]
    part = await Sketches(past).part("digits", 35, 52, points=10)

    assert part.width == 2
    assert (part.first, part.end) == (34, 52)
    assert part.column("loss", "max") == [30.0] * 3 + [40.0] * 5 + [50.0]
