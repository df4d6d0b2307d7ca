"""The judge of the crash harness finds what it is there to find."""

import struct
from typing import Any

import msgspec
import pytest
from tests.crash.evidence import Answers, Sight
from tests.crash.verdict import (
    columns_of,
    of_decisions,
    of_ending,
    of_history,
    of_rows,
    of_sights,
    of_steps,
    without_guardrails,
)

from rheostat.runs import audit
from rheostat.runs.records import Phase, Result, RunEvent, RunView, StepRows
from rheostat.steering.records import Components, Decision, DecisionRecord, GroupChange, GroupState

CHANGE = GroupChange(name="default", old=0.1, new=0.05, base=0.1, operator=0.5)
STATE = GroupState(name="default", learning_rate=0.1, base=0.1, factors={}, operator=1.0)
EXPLAINED = msgspec.json.encode(Components(revision=0, in_force=(), groups=(STATE,))).decode()


def decision(revision: int, **fields: Any) -> Decision:
    usual = {"applied_step": 10 * revision, "request_id": f"r{revision}", "source": "operator"}
    return Decision(revision=revision, groups=(CHANGE,), verb="scale", **(usual | fields))


def chained(*decisions: Decision) -> list[DecisionRecord]:
    records: list[DecisionRecord] = []
    for one in decisions:
        last = records[-1].hash if records else audit.GENESIS
        records.append(audit.chain("run", last, one))
    return records


def answered(*decisions: Decision, **fields: Any) -> Answers:
    return Answers(decided={one.request_id: one for one in decisions}, **fields)


def rows(first_step: int, *losses: float) -> StepRows:
    packed = struct.pack(f"<{len(losses)}d", *losses)
    return StepRows(
        first_step=first_step,
        count=len(losses),
        train_loss=packed,
        learning_rate={"default": packed},
        base={"default": packed},
        duration=packed,
        components={first_step: EXPLAINED},
    )


def test_answers_that_stand_in_the_history_are_in_order() -> None:
    made = [decision(1), decision(2)]

    assert list(of_history(chained(*made), answered(*made))) == []


@pytest.mark.parametrize(
    ("records", "answers", "found"),
    [
        (chained(decision(1)), answered(decision(1), decision(2)), "in the history stands []"),
        (chained(decision(1)), answered(decision(1, applied_step=9)), "[(1, 10)]"),
        (
            chained(decision(1), decision(2, request_id="r1")),
            answered(decision(1)),
            "decided 2 times",
        ),
        (
            chained(decision(1)),
            answered(refused={"r1": "too late"}),
            "refused (too late) and yet decided",
        ),
        (chained(decision(1)), answered(), "never answered"),
        (chained(decision(2)), answered(decision(2)), "decision 1 is missing"),
        (
            chained(decision(1), decision(2, applied_step=9)),
            answered(decision(1), decision(2, applied_step=9)),
            "acts at step 9, after one at 10",
        ),
    ],
)
def test_an_answer_that_is_lost_or_moved_or_given_twice_is_found(
    records: list[DecisionRecord], answers: Answers, found: str
) -> None:
    assert any(found in fault for fault in of_history(records, answers))


def test_a_step_that_is_missing_is_found() -> None:
    columns = columns_of([rows(0, 0.5, 0.4), rows(3, 0.2)])

    assert list(of_steps(columns, 4)) == ["of 4 steps 3 have a row; the first missing: [2]"]
    assert list(of_steps(columns_of([rows(0, 0.5)]), 1)) == []


def test_a_single_bit_of_a_single_step_is_found() -> None:
    ours = columns_of([rows(0, 0.5, 0.4, 0.3)])
    theirs = columns_of([rows(0, 0.5), rows(1, 0.4, 0.3 + 2**-54)])

    assert list(of_rows(ours, columns_of([rows(0, 0.5), rows(1, 0.4, 0.3)]), "control")) == []
    faults = list(of_rows(ours, theirs, "control"))
    assert any("train_loss differs at 1 steps, first at step 2" in fault for fault in faults)


def test_a_step_that_was_shown_otherwise_is_found() -> None:
    losses = columns_of([rows(0, 0.5, 0.4)])["train_loss"]

    assert list(of_sights([Sight(1.0, 2, 0.4, 0)], losses)) == []
    assert list(of_sights([Sight(1.0, 2, 0.5, 0)], losses))
    assert list(of_sights([Sight(1.0, 3, 0.4, 0)], losses))


def test_a_decision_that_nobody_else_would_make_is_found() -> None:
    had = [decision(1), decision(2)]
    later = [msgspec.structs.replace(one, time=2.0) for one in had]

    assert list(of_decisions(had, later, "control")) == [], "the time is its own"
    assert list(of_decisions(had, had[:1], "control"))
    assert list(of_decisions(had, [had[0], decision(2, applied_step=21)], "control"))


def test_what_guardrails_noted_and_its_numbers_do_not_count_where_a_run_stood_still() -> None:
    had = [decision(1), decision(2, source="guardrail"), decision(3, request_id="r2")]
    live = [decision(1), decision(2, applied_step=30)]

    assert list(of_decisions(had, live, "control"))
    assert list(of_decisions(without_guardrails(had), without_guardrails(live), "control")) == []


def test_a_run_that_does_not_end_as_planned_is_found() -> None:
    done = Result(steps=100)
    well = RunView(name="run", phase=Phase.SUCCEEDED, spec="{}", steps=100, result=done)
    lost = RunEvent(time=1.0, kind="rows_lost", message="5 rows")

    assert list(of_ending(well)) == []
    for fields in ({"phase": Phase.FAILED}, {"steps": 90}, {"events": (lost,)}):
        assert list(of_ending(msgspec.structs.replace(well, **fields)))


def test_an_expiry_is_the_same_though_what_expires_has_another_number_in_the_other_run() -> None:
    def expiry(revision: int, of: int) -> Decision:
        said = f"the hold of revision {of} has expired"
        return decision(revision, source="expiry", applied_step=90, reason=said, request_id="")

    hold = {"applied_step": 10, "request_id": "hold"}
    one = [decision(1, source="guardrail"), decision(2, **hold), expiry(3, of=2)]
    other = [decision(1, **hold), expiry(2, of=1)]

    compared = of_decisions(without_guardrails(one), without_guardrails(other), "control")
    assert list(compared) == []
    assert list(of_decisions(without_guardrails(one), [other[0], expiry(2, of=7)], "control"))
