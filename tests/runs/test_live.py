"""A run in the daemon's memory: the changes on their way, and the policies that are connected."""

import pytest

from rheostat.runs import audit
from rheostat.runs.live import LiveRun
from rheostat.runs.messages import ChangeCommand, Hello
from rheostat.runs.records import Phase, RunView
from rheostat.runs.sessions import MAX_WAITING, PolicySession
from rheostat.steering.records import Change, Decision, PolicyEdit, Verb
from rheostat_policies import Observation

HALVE = Change(verb=Verb.SCALE, value=0.5, request_id="halve")


@pytest.fixture
def run():
    run = LiveRun(RunView(name="digits", phase=Phase.RUNNING, spec="{}"))
    run.told = []
    run.connect(run.told.append, Hello(run="digits", token="", pid=1))
    return run


@pytest.fixture
def session(run):
    run.sessions["far"] = PolicySession(run, "far")
    return run.sessions["far"]


def observation(step):
    return Observation(step=step, steps=100, train_loss=1.0)


async def told(session):
    return [one.step async for one in session.observations()]


async def test_a_request_that_is_on_its_way_is_joined(run):
    first, second = run.ask(HALVE), run.ask(HALVE)

    assert first is second
    assert [(type(one), one.change) for one in run.told] == [(ChangeCommand, HALVE)]


async def test_a_dry_run_and_the_change_itself_are_two_requests(run):
    dry = Change(verb=Verb.SCALE, value=0.5, request_id="halve", dry_run=True)

    assert run.ask(dry) is not run.ask(HALVE)
    assert [one.change.dry_run for one in run.told] == [True, False]


async def test_a_session_tells_of_the_newest_and_then_of_the_end(run, session):
    for step in range(MAX_WAITING + 7):
        run.hear("far", observation(step))
    run.hang_up("far")

    assert await told(session) == list(range(7, MAX_WAITING + 7))


async def test_a_session_that_was_ended_takes_nothing_more(run, session):
    run.hear("far", observation(1))
    session.close()
    run.hear("far", observation(2))

    assert await told(session) == [1]


async def test_a_detached_policy_is_hung_up_on(run, session):
    detached = Decision(
        revision=1,
        applied_step=1,
        source="operator",
        groups=(),
        verb="detach",
        policy=PolicyEdit(policy="far"),
    )
    run.note(audit.chain("digits", audit.GENESIS, detached))

    assert await told(session) == []


async def test_the_end_of_a_run_is_the_end_of_its_sessions(run, session):
    run.end_pending()

    assert await told(session) == []


async def test_what_nobody_observes_is_forgotten(run):
    run.hear("far", observation(1))

    assert run.sessions == {}
