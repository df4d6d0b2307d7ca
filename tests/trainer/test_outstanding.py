"""What the trainer keeps until it is durable."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from rheostat.runs.messages import Decided, Offended, Telemetry
from rheostat.runs.records import Snapshot, StepRows
from rheostat.steering.records import Decision, Offence, RollbackEdit
from rheostat.trainer.outstanding import Outstanding


def decided(revision: int, request_id: str = "") -> Decided:
    one = Decision(
        revision=revision,
        applied_step=revision,
        source="operator",
        groups=(),
        request_id=request_id,
    )
    return Decided(decisions=(one,))


def telemetry(first_step: int, count: int) -> Telemetry:
    doubles = struct.pack(f"<{count}d", *range(first_step, first_step + count))
    rows = StepRows(
        first_step=first_step,
        count=count,
        train_loss=doubles,
        learning_rate={"default": doubles},
        duration=doubles,
    )
    snapshot = Snapshot(step=first_step + count, revision=0, groups=())
    return Telemetry(snapshot=snapshot, rows=rows)


def owed(outstanding: Outstanding) -> tuple[list[int], list[int]]:
    """Return the revisions and the steps that are owed."""
    revisions: list[int] = []
    steps: list[int] = []
    for message in outstanding.owed():
        if isinstance(message, Decided):
            revisions += [one.revision for one in message.decisions]
        elif isinstance(message, Telemetry) and message.rows is not None:
            first, count = message.rows.first_step, message.rows.count
            steps += range(first, first + count)
    return revisions, steps


@given(
    counts=st.lists(st.integers(1, 5), max_size=8),
    decisions=st.integers(0, 6),
    revision=st.integers(0, 6),
    next_row=st.integers(0, 40),
)
def test_what_is_not_durable_is_owed_in_order_and_nothing_before_it_is_missing(
    counts: list[int], decisions: int, revision: int, next_row: int
) -> None:
    outstanding, step = Outstanding(), 0
    for number in range(1, decisions + 1):
        outstanding.keep(decided(number))
    for count in counts:
        outstanding.keep(telemetry(step, count))
        step += count

    outstanding.acknowledge(min(revision, decisions), min(next_row, step))
    revisions, steps = owed(outstanding)

    assert revisions == list(range(min(revision, decisions) + 1, decisions + 1))
    assert steps == list(range(step - len(steps), step)), "the newest, without a gap"
    assert set(range(next_row, step)) <= set(steps), "all that is not durable"


def test_too_many_rows_lose_the_oldest_and_count_them() -> None:
    outstanding = Outstanding(max_row_bytes=2000)
    for number in range(20):
        outstanding.keep(telemetry(10 * number, 10))

    _, steps = owed(outstanding)

    assert steps == list(range(outstanding.lost_rows, 200))
    assert 0 < outstanding.lost_rows < 200


def test_decisions_are_kept_however_many_there_are() -> None:
    outstanding = Outstanding(max_row_bytes=1)
    for revision in range(1, 2501):
        outstanding.keep(decided(revision))

    assert owed(outstanding)[0] == list(range(1, 2501))


def test_a_change_that_was_carried_out_already_is_answered_and_not_made_again() -> None:
    outstanding = Outstanding()
    outstanding.keep(decided(1, request_id="halve"))

    known = outstanding.answer_to("halve")
    assert known is not None
    assert known.revision == 1
    assert outstanding.answer_to("other") is None
    outstanding.acknowledge(revision=1, next_row=0)
    assert outstanding.answer_to("halve") is None, "the daemon knows by itself"


def test_an_offence_is_durable_with_the_step_after_the_one_it_was_about() -> None:
    outstanding = Outstanding()
    outstanding.keep(Offended(offences=(Offence(policy="slow", step=4, outcome="slow"),)))

    outstanding.acknowledge(revision=0, next_row=5)
    assert [type(one) for one in outstanding.owed()] == [Offended]
    outstanding.acknowledge(revision=0, next_row=6)
    assert outstanding.owed() == []


def rolled_back(revision: int, to_step: int) -> Decided:
    edit = RollbackEdit(from_step=9, to_step=to_step, to_revision=0, steps=99)
    one = Decision(
        revision=revision, applied_step=to_step, source="rollback", groups=(), rollback=edit
    )
    return Decided(decisions=(one,))


def test_after_a_rollback_what_was_told_before_it_goes_first_and_its_steps_are_others() -> None:
    outstanding = Outstanding()
    for message in (
        decided(1),
        telemetry(0, 9),
        rolled_back(2, to_step=4),
        decided(3),
        Offended(offences=(Offence(policy="slow", step=5, outcome="slow"),)),
        telemetry(4, 3),
    ):
        outstanding.keep(message)

    assert owed(outstanding) == ([1, 2, 3], [*range(9), 4, 5, 6])
    kinds = [type(one) for one in outstanding.owed()]
    assert kinds == [Decided, Telemetry, Decided, Offended, Telemetry, Telemetry]
    assert [rows.first_step for rows in outstanding.unacknowledged().rows] == [4]

    # Nine rows of before the rollback say nothing of those after it.
    outstanding.acknowledge(revision=1, next_row=9)
    assert owed(outstanding) == ([2, 3], [4, 5, 6])
    outstanding.acknowledge(revision=3, next_row=4)
    assert owed(outstanding) == ([], [4, 5, 6])
    outstanding.acknowledge(revision=3, next_row=7)
    assert owed(outstanding) == ([], [])
