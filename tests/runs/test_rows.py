"""Batches of step rows that become one, and what is read from it."""

import struct

import msgspec
import pytest

from rheostat.runs.explaining import components_at
from rheostat.runs.records import StepRows
from rheostat.runs.rows import follows, merge
from rheostat.steering.records import Components, GroupState


def packed(*values):
    return struct.pack(f"<{len(values)}d", *values)


def state(operator):
    return GroupState(name="all", learning_rate=9.0, base=9.0, factors={}, operator=operator)


def rows(first, rates, *, momentum=None, **components):
    """Return a batch; `step_7=0.5` is an operator's factor from step 7 on."""
    told = {
        int(step.removeprefix("step_")): Components(
            revision=1, in_force=(1,), groups=(state(operator),)
        )
        for step, operator in components.items()
    }
    return StepRows(
        first_step=first,
        count=len(rates),
        train_loss=packed(*rates),
        learning_rate={"all": packed(*rates)},
        base={"all": packed(*(2 * rate for rate in rates))},
        momentum={} if momentum is None else {"all": packed(*momentum)},
        duration=packed(*rates),
        components={step: msgspec.json.encode(one).decode() for step, one in told.items()},
    )


def test_a_batch_follows_where_nothing_is_missing_between():
    assert follows(rows(2, [1.0]), rows(0, [1.0, 1.0]))
    assert not follows(rows(3, [1.0]), rows(0, [1.0, 1.0]))


def test_where_a_momentum_begins_or_ceases_to_move_there_are_two_batches():
    still, moving = rows(0, [1.0, 1.0]), rows(2, [1.0], momentum=[0.9])

    assert not follows(moving, still)
    assert not follows(rows(3, [1.0]), moving)
    assert follows(rows(3, [1.0], momentum=[0.9]), moving)


@pytest.mark.parametrize(
    ("step", "operator"), [(5, 1.0), (6, 1.0), (7, 0.5), (8, 0.5), (9, 0.25), (10, 0.25)]
)
def test_a_step_of_merged_batches_is_explained_by_what_changed_last_before_it(step, operator):
    batches = [
        rows(5, [0.5, 0.6, 0.7, 0.8], momentum=[0.1, 0.2, 0.3, 0.4], step_5=1.0, step_7=0.5),
        rows(9, [0.9, 1.0], momentum=[0.5, 0.6], step_9=0.25),
    ]

    components = components_at(merge(batches), step)

    [group] = components.groups
    assert group.operator == operator
    assert group.learning_rate == [0.5, 0.6, 0.7, 0.8, 0.9, 1.0][step - 5]
    assert group.base == 2 * group.learning_rate
    assert group.momentum == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6][step - 5]


def test_what_did_not_change_from_batch_to_batch_is_told_once():
    merged = merge([rows(0, [0.5], step_0=1.0), rows(1, [0.5], step_1=1.0)])

    assert list(merged.components) == [0]
