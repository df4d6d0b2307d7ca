import pytest

from rheostat.cluster.events import (
    MAX_SERIES,
    Notice,
    Series,
    event_patch,
    new_event,
    notice_of_event,
    notice_of_phase,
    notices_of,
)
from rheostat.cluster.resources import TrainingRun
from rheostat.runs.records import Failure, Phase, Result, RunEvent, RunView
from rheostat.steering.records import Decision, GroupChange

RESOURCE = TrainingRun.read(
    {
        "metadata": {"name": "digits", "namespace": "ml", "uid": "u", "resourceVersion": "1"},
        "spec": {},
    }
)


def decision(source, guardrails=(), **fields):
    change = GroupChange(name="default", old=0.1, new=0.05, base=0.1, guardrails=guardrails)
    return Decision(revision=1, applied_step=7, source=source, groups=(change,), **fields)


def notice(about="plateau", message="it happened"):
    return Notice(reason="LearningRateChangedByPolicy", message=message, about=about)


def test_a_policy_that_acts_often_is_one_event_with_a_count():
    series = Series()
    for second in range(50):
        series.add(notice(message=f"for the {second}th time"), now=float(second))

    [event] = series.untold()

    assert (event.count, event.first, event.last) == (50, 0.0, 49.0)
    assert event.notice.message == "for the 49th time"


def test_two_policies_are_two_events():
    series = Series()
    series.add(notice("plateau"), 1.0)
    series.add(notice("loss_spike"), 1.0)

    assert len(series.untold()) == 2


def test_what_is_told_is_told_once_and_grows_afterwards():
    series = Series()
    series.add(notice(), 1.0)
    [event] = series.untold()
    series.is_told(event)

    assert series.untold() == []
    series.add(notice(), 2.0)
    [grown] = series.untold()
    assert (grown.name, grown.is_known, grown.count) == (event.name, True, 2)


def test_what_happens_while_it_is_told_is_told_next():
    series = Series()
    series.add(notice(), 1.0)
    [event] = series.untold()
    series.add(notice(), 2.0)
    series.is_told(event)

    assert [one.count for one in series.untold()] == [2]


def test_an_event_that_the_api_server_forgot_is_told_as_a_new_one():
    series = Series()
    series.add(notice(), 1.0)
    [event] = series.untold()
    series.is_told(event)
    series.add(notice(), 2.0)
    [known] = series.untold()
    series.is_lost(known)

    [again] = series.untold()
    assert (again.is_known, again.count) == (False, 2)
    assert again.name != event.name


def test_the_quietest_series_makes_room_for_a_new_one():
    series = Series()
    for number in range(MAX_SERIES + 1):
        series.add(notice(str(number)), now=float(number))

    names = {event.notice.about for event in series.untold()}

    assert len(names) == MAX_SERIES
    assert "0" not in names


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (decision("operator", verb="scale", principal="ada"), "LearningRateChanged"),
        (decision("policy:plateau"), "LearningRateChangedByPolicy"),
        (decision("expiry", verb="hold"), "OverrideExpired"),
        (decision("guardrail", ("max_lr",)), "GuardrailHit"),
    ],
)
def test_decisions_are_told_by_their_source(made, reason):
    assert [one.reason for one in notices_of(made)] == [reason]


def test_a_guardrail_that_bends_an_operator_is_told_too():
    made = decision("operator", ("max_lr",), verb="set", value=1.0, principal="ada")

    changed, hit = notices_of(made)

    assert changed.message == "ada set 1 at step 7: default 0.1 → 0.05, bent by max_lr"
    assert (hit.reason, hit.kind) == ("GuardrailHit", "Warning")


def test_the_end_of_a_run_is_told():
    def told(phase, **fields):
        return notice_of_phase(RunView(name="digits", phase=phase, spec="{}", **fields))

    assert told(Phase.QUEUED) is None
    assert told(Phase.SUCCEEDED, result=Result(steps=9)).message == "run digits ended after 9 steps"
    failed = told(Phase.FAILED, failure=Failure(message="no memory"))
    assert (failed.reason, failed.kind) == ("Failed", "Warning")
    assert failed.message == "run digits failed: no memory"


@pytest.mark.parametrize(
    ("kind", "reason", "severity"),
    [
        ("restarted", "Restarted", "Warning"),
        ("checkpoint_refused", "CheckpointRefused", "Warning"),
        ("rolled_back", "RolledBack", "Normal"),
        ("adopted", "Adopted", "Normal"),
    ],
)
def test_what_happens_to_a_run_is_told(kind, reason, severity):
    told = notice_of_event(RunEvent(time=1.0, kind=kind, message="another starts in 1 s"))

    assert (told.reason, told.kind) == (reason, severity)
    assert told.message == "another starts in 1 s"


def test_an_event_is_about_its_resource():
    series = Series()
    series.add(notice(message="x" * 5000), 1_800_000_000.0)
    [event] = series.untold()

    made = new_event(event, RESOURCE, "daemon-0")

    assert made["metadata"] == {"name": f"digits.{event.name}", "namespace": "ml"}
    assert made["involvedObject"]["uid"] == "u"
    assert (made["type"], made["count"], made["source"]["host"]) == ("Normal", 1, "daemon-0")
    assert made["firstTimestamp"] == made["lastTimestamp"] == "2027-01-15T08:00:00Z"
    assert len(event_patch(event)["message"]) == 1000
