"""What the trainer keeps until it is durable."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from rheostat.runs.messages import Decided, Offended, Telemetry
from rheostat.runs.records import Snapshot, StepRows
from rheostat.steering.records import Decision, Offence
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
