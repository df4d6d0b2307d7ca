"""A controller between an API server that may fail and runs that are played."""

import asyncio
import json

import pytest

from rheostat.cluster import caretaker, watching
from rheostat.cluster.controller import Controller
from rheostat.errors import FailedPrecondition, InvalidRequest, Violation
from rheostat.runs.records import Phase, RunEvent
from rheostat.steering.records import PolicyEdit, Verb

BASE = 0.001

pytestmark = pytest.mark.usefixtures("prompt_reports")


@pytest.fixture
async def start(runs, connect, monkeypatch):
    """Start the controller of a daemon."""
    monkeypatch.setattr(watching, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(caretaker, "RETRY_SECONDS", 0.05)

    def start(daemon="me"):
        controller = Controller(runs, connect(), daemon=daemon)
        controller.start()
        started.append(controller)
        return controller

    async def stop(controller):
        started.remove(controller)
        await controller.stop()

    started = []
    start.stop = stop
    yield start
    for controller in started:
        await controller.stop()


@pytest.fixture
async def controller(start):
    return start()


@pytest.fixture
async def training(server, runs, controller):
    """The TrainingRun `digits`, whose run trains."""
    server.create()
    await server.until(lambda: "digits" in runs.views)
    runs.begin()
    await server.until(lambda: server.status().get("phase") == "running")


def condition(server, kind, name="digits"):
    found = [one for one in server.status(name).get("conditions", ()) if one["type"] == kind]
    return found[0] if found else {}


async def test_a_new_resource_becomes_a_run_of_this_daemon(server, runs, training):
    resource = server.resources["digits"]

    assert runs.asked[0] == ("create_run", "kubernetes:kubectl")
    assert json.loads(runs.views["digits"].spec)["name"] == "digits"
    assert resource["metadata"]["finalizers"] == ["rheostat.dev/stop"]
    assert (resource["status"]["daemon"], resource["status"]["run"]) == ("me", "digits")


async def test_the_resource_of_another_daemon_is_left_alone(server, runs, controller):
    server.create("theirs", daemon="other")
    server.create("mine", daemon="me")

    await server.until(lambda: "mine" in runs.views)

    assert "theirs" not in runs.views
    assert "finalizers" not in server.resources["theirs"]["metadata"]


async def test_of_two_daemons_one_takes_a_resource(server, runs, start):
    start("one")
    start("other")
    server.create()

    await server.until(lambda: "digits" in runs.views)
    runs.begin()
    await server.until(lambda: server.status().get("phase") == "running")

    assert sum(1 for one in runs.asked if one[0] == "create_run") == 1


async def test_an_invalid_spec_is_told_and_a_mended_one_trained(server, runs, controller):
    server.create(run={"train": {"steps": 0}})

    await server.until(lambda: server.status().get("phase") == "refused")
    accepted = condition(server, "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "InvalidSpec")
    assert "train.steps" in accepted["message"]
    server.patch("digits", {"run": {"train": {"steps": 10}}})
    await server.until(lambda: "digits" in runs.views)


async def test_a_declared_lr_is_brought_about_and_told(server, runs, training):
    server.patch("digits", {"learningRate": {"scale": 0.5, "reason": "too noisy"}})

    told = await server.until(lambda: server.status().get("lastDecision"))

    assert told["groups"] == {"default": {"old": BASE, "new": BASE / 2}}
    assert told["principal"] == "kubernetes:kubectl"
    assert told["reason"] == "too noisy [TrainingRun ml/digits, generation 2]"
    await server.until(lambda: condition(server, "LearningRateApplied").get("reason") == "Applied")
    assert server.status()["acted"]["generation"] == 2


async def test_a_scale_is_of_the_schedule_and_not_of_the_last_scale(server, runs, training):
    server.patch("digits", {"learningRate": {"scale": 0.5}})
    await server.until(lambda: runs.views["digits"].revision == 1)
    server.patch("digits", {"learningRate": {"scale": 0.25}})
    await server.until(lambda: runs.views["digits"].revision == 2)

    [group] = runs.views["digits"].snapshot.groups
    assert group.learning_rate == pytest.approx(BASE / 4)


async def test_a_declaration_taken_back_releases_what_it_did(server, runs, training):
    server.patch("digits", {"learningRate": {"hold": 0.5}})
    await server.until(lambda: runs.views["digits"].revision == 1)
    server.patch("digits", {"learningRate": None})
    await server.until(lambda: runs.views["digits"].revision == 2)

    assert runs.histories["digits"][-1].verb == Verb.RELEASE


async def test_a_change_by_other_ways_is_shown_and_not_undone(server, runs, training):
    server.patch("digits", {"learningRate": {"scale": 0.5}})
    await server.until(lambda: condition(server, "LearningRateApplied").get("reason") == "Applied")
    runs.decide(verb=Verb.SCALE, value=0.1, principal="ada")

    drift = await server.until(lambda: server.status().get("drift"))

    assert (drift["principal"], drift["value"]) == ("ada", 0.1)
    assert condition(server, "Drifted")["status"] == "True"
    server.patch("digits", {"suspend": True})
    await server.until(lambda: server.status()["acted"]["generation"] == 3)
    assert runs.views["digits"].revision == 2, "only a new LR is brought about"


async def test_a_declared_schedule_policies_and_lr_are_brought_about_together(
    server, runs, training
):
    server.patch(
        "digits",
        {
            "schedule": {"rewarm": {"steps": 5}, "reason": "again"},
            "policies": {"plateau": {"state": "shadow", "args": {"patience": 3}}},
            "learningRate": {"scale": 0.5},
        },
    )
    await server.until(lambda: condition(server, "LearningRateApplied").get("reason") == "Applied")

    rewarm, attach, scale = runs.histories["digits"]
    assert (rewarm.verb, rewarm.edit.steps) == (Verb.REWARM, 5)
    assert rewarm.reason == "again [TrainingRun ml/digits, generation 2]"
    assert (attach.verb, attach.policy.shadow) == (Verb.ATTACH, True)
    assert json.loads(attach.policy.args) == {"patience": 3}
    assert scale.verb == Verb.SCALE
    assert {one.principal for one in (rewarm, attach, scale)} == {"kubernetes:kubectl"}
    assert condition(server, "Drifted")["status"] == "False"


async def test_an_edit_of_the_schedule_is_made_once(server, runs, training):
    server.patch("digits", {"schedule": {"cooldown": {"steps": 5}}})
    await server.until(lambda: server.status().get("acted", {}).get("generation") == 2)
    server.patch("digits", {"schedule": {"horizon": {"steps": 900}}})
    await server.until(lambda: server.status()["acted"]["generation"] == 3)
    server.patch("digits", {"schedule": None})
    await server.until(lambda: server.status()["acted"]["generation"] == 4)

    assert [one.verb for one in runs.histories["digits"]] == [Verb.COOLDOWN, Verb.HORIZON]
    assert "schedule" not in server.status()["acted"]


async def test_what_was_done_before_a_refusal_is_not_done_again(server, runs, training):
    runs.errors += [None, InvalidRequest([Violation("policy", "plato", "a policy")])]
    server.patch("digits", {"schedule": {"rewarm": {"steps": 5}}, "policies": {"plato": {}}})
    await server.until(lambda: condition(server, "LearningRateApplied").get("status") == "False")
    assert "plato" in condition(server, "LearningRateApplied")["message"]

    server.patch("digits", {"policies": {"plato": None, "plateau": {}}})
    await server.until(lambda: server.status()["acted"].get("generation") == 3)

    assert [one.verb for one in runs.histories["digits"]] == [Verb.REWARM, Verb.ATTACH]


async def test_a_policy_that_somebody_detaches_is_shown_and_stays_away(server, runs, training):
    server.patch("digits", {"policies": {"plateau": {}}})
    await server.until(lambda: condition(server, "LearningRateApplied").get("reason") == "Applied")
    runs.decide(verb=Verb.DETACH, policy=PolicyEdit(policy="plateau"), principal="ada")

    drift = await server.until(lambda: server.status().get("drift"))
    assert (drift["verb"], drift["subject"]) == ("detach", "plateau")
    assert "ada detach plateau at step" in condition(server, "Drifted")["message"]
    server.patch("digits", {"policies": {"plateau": {"state": "shadow"}}})
    await server.until(lambda: not server.status().get("drift"))

    assert [one.verb for one in runs.histories["digits"]][-1] == Verb.ATTACH


async def test_a_new_declaration_ends_the_drift(server, runs, training):
    runs.decide(verb=Verb.SCALE, value=0.1, principal="ada")
    await server.until(lambda: server.status().get("drift"))
    server.patch("digits", {"learningRate": {"scale": 0.5}})

    await server.until(lambda: not server.status().get("drift"))

    [group] = runs.views["digits"].snapshot.groups
    assert group.learning_rate == pytest.approx(BASE / 2)
    assert condition(server, "Drifted")["status"] == "False"


async def test_an_unknown_group_is_refused_until_the_resource_changes(server, runs, training):
    server.patch("digits", {"learningRate": {"groups": {"tail": {"scale": 0.5}}}})

    await server.until(lambda: condition(server, "LearningRateApplied").get("status") == "False")

    refused = condition(server, "LearningRateApplied")
    assert refused["reason"] == "InvalidDeclaration"
    assert "spec.learningRate.groups.tail" in refused["message"]
    assert ("change_learning_rate", "kubernetes:kubectl") not in runs.asked


async def test_an_lr_that_the_run_cannot_take_yet_is_tried_again(server, runs, training):
    runs.errors.append(FailedPrecondition("group default was changed 3 steps ago"))
    server.patch("digits", {"learningRate": {"scale": 0.5}})

    await server.until(lambda: runs.views["digits"].revision == 1)
    await server.until(lambda: condition(server, "LearningRateApplied").get("reason") == "Applied")

    reasons = {event["reason"]: event for event in server.events.values()}
    assert reasons["Refused"]["type"] == "Warning"


async def test_a_value_that_the_run_refuses_for_good_is_not_tried_again(server, runs, training):
    runs.errors.append(InvalidRequest([Violation("value", "1", "less")]))
    server.patch("digits", {"learningRate": {"scale": 0.5}})

    await server.until(lambda: condition(server, "LearningRateApplied").get("status") == "False")
    await asyncio.sleep(0.2)

    assert runs.asked.count(("change_learning_rate", "kubernetes:kubectl")) == 1


async def test_suspend_pauses_and_its_end_resumes(server, runs, training):
    server.patch("digits", {"suspend": True})
    await server.until(lambda: server.status().get("phase") == "paused")
    server.patch("digits", {"suspend": False})
    await server.until(lambda: server.status().get("phase") == "running")

    assert [one for one, _ in runs.asked if one.endswith(("pause_run", "resume_run"))] == [
        "pause_run",
        "resume_run",
    ]


async def test_a_run_changed_after_it_began_goes_on_and_says_so(server, runs, training):
    server.patch("digits", {"run": {"train": {"steps": 7}}})

    await server.until(lambda: condition(server, "Accepted").get("reason") == "ChangedTooLate")

    assert runs.views["digits"].phase is Phase.RUNNING


async def test_a_deletion_stops_the_run_before_the_resource_goes(server, runs, training):
    server.delete("digits")
    await server.until(lambda: runs.views["digits"].phase is Phase.STOPPING)
    assert "digits" in server.resources
    runs.finish(phase=Phase.STOPPED)

    await server.until(lambda: "digits" not in server.resources)

    assert ("stop_run", "kubernetes") in runs.asked


async def test_the_end_of_a_run_is_told_and_then_nothing_more(server, runs, training):
    runs.finish()
    await server.until(lambda: condition(server, "Finished").get("status") == "True")
    await server.until(lambda: any(one["reason"] == "Succeeded" for one in server.events.values()))
    before = server.count("PATCH")
    await asyncio.sleep(0.1)

    assert server.count("PATCH") == before


async def test_a_run_that_ended_and_is_resumed_is_followed_again(server, runs, training):
    runs.decide(verb=Verb.SCALE, value=0.5, principal="ada")
    runs.tell(phase=Phase.STOPPED)
    await server.until(lambda: server.status().get("phase") == "stopped")

    runs.tell(phase=Phase.QUEUED)
    await server.until(lambda: server.status().get("phase") == "queued")
    runs.decide(verb=Verb.SCALE, value=0.5, principal="ada", time=5e9)
    runs.finish()

    await server.until(lambda: condition(server, "Finished").get("reason") == "Succeeded")
    await server.until(lambda: changes_told(server) == 2)
    assert server.status()["lastDecision"]["revision"] == 2


def changes_told(server):
    """Return how often a change of the LR was an Event."""
    told = [one for one in server.events.values() if one["reason"] == "LearningRateChanged"]
    return sum(one["count"] for one in told)


async def test_what_policies_do_is_one_event_that_grows(server, runs, training):
    for _ in range(3):
        runs.decide(source="policy:plateau", value=0.5)
        await asyncio.sleep(0.05)

    def policy_events():
        wanted = "LearningRateChangedByPolicy"
        return [one for one in server.events.values() if one["reason"] == wanted]

    await server.until(lambda: policy_events() and policy_events()[0]["count"] == 3)

    assert len(policy_events()) == 1


async def test_a_trainer_that_was_restarted_is_told_once(server, runs, training):
    restarted = RunEvent(time=4e9, kind="restarted", message="killed by SIGKILL; another starts")
    runs.tell(phase=Phase.STARTING, events=(restarted,))

    def told():
        return [one for one in server.events.values() if one["reason"] == "Restarted"]

    await server.until(told)
    runs.tell(phase=Phase.RUNNING)
    await server.until(lambda: server.status().get("phase") == "running")

    assert [(one["type"], one["count"]) for one in told()] == [("Warning", 1)]


async def test_what_was_decided_before_this_daemon_began_is_no_news(server, runs, training):
    runs.decide(verb=Verb.SCALE, value=0.5, principal="ada", time=1.0)

    await server.until(lambda: server.status().get("lastDecision"))

    assert all(one["reason"] != "LearningRateChanged" for one in server.events.values())


# --- when something breaks ---------------------------------------------------------------------


async def test_a_daemon_that_comes_back_takes_up_its_runs_and_repeats_nothing(
    server, runs, start, controller, training
):
    server.patch("digits", {"learningRate": {"set": 0.5}})
    await server.until(lambda: server.status().get("acted", {}).get("generation") == 2)
    await start.stop(controller)
    runs.decide(verb=Verb.SCALE, value=0.5, principal="ada")
    start()

    await server.until(lambda: server.status().get("drift"))

    assert sum(1 for one in runs.asked if one[0] == "create_run") == 1
    assert runs.views["digits"].revision == 2


async def test_a_run_that_the_daemon_lost_is_not_trained_again(server, runs, controller):
    server.create(status={"daemon": "me", "run": "digits", "phase": "running"})

    await server.until(lambda: server.status().get("phase") == "lost")

    assert runs.asked == []
    assert condition(server, "Accepted")["reason"] == "RunIsGone"


@pytest.mark.parametrize("status", [429, 500, None])
async def test_a_report_that_fails_is_made_again(server, runs, training, status):
    server.fail("PATCH", status, status)
    runs.decide(verb=Verb.SCALE, value=0.5, principal="ada")

    told = await server.until(lambda: server.status().get("lastDecision"))

    assert told["principal"] == "ada"


async def test_a_conflict_is_settled_by_what_the_watch_brings(server, runs, controller):
    server.fail("PATCH", 409)
    server.create()
    await asyncio.sleep(0.05)
    server.patch("digits", {"suspend": False})

    await server.until(lambda: "digits" in runs.views)


async def test_what_went_away_unseen_is_not_tended_any_more(server, runs, controller, training):
    runs.finish()
    await server.until(lambda: server.status().get("phase") == "succeeded")
    server.resources.clear()
    server.fail("WATCH", 410)
    server.drop_watches()

    await server.until(lambda: not controller._caretakers)


async def test_the_last_report_tells_how_the_run_ended(server, runs, start, controller, training):
    runs.finish(phase=Phase.STOPPED)
    await start.stop(controller)

    assert server.status()["phase"] == "stopped"


async def test_a_run_that_failed_with_its_daemon_keeps_its_last_decision(
    server, runs, start, controller, training
):
    server.patch("digits", {"learningRate": {"set": 0.5}})
    await server.until(lambda: server.status().get("lastDecision"))
    await start.stop(controller)
    runs.finish(phase=Phase.FAILED)
    start()

    await server.until(lambda: server.status()["phase"] == "failed")

    assert server.status()["lastDecision"]["verb"] == "set"


async def test_a_resource_that_nobody_can_read_does_not_hide_the_others(server, runs, controller):
    await server.until(lambda: server.count("WATCH"))
    server.put({"metadata": {"name": "broken", "namespace": "ml", "uid": "b"}, "spec": None})
    server.create("whole")

    await server.until(lambda: "whole" in runs.views)
