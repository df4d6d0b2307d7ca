"""A real daemon that trains what a real API server holds; all tests here have the same one."""

import pytest
import torch

import rheostat
from rheostat.runs.records import Phase
from rheostat.steering.records import Change, PolicyEdit, Verb

from .conftest import daemons


@pytest.fixture(scope="module")
def daemon(cluster, rights, tmp_path_factory):
    with daemons(cluster, tmp_path_factory.mktemp("daemon")) as start:
        yield start()


def test_a_resource_is_trained_steered_shown_as_drifted_and_stopped(
    daemon, cluster, apply, eventually
):
    digits = apply("digits")
    digits.until_phase("running")

    digits.patch(learningRate={"scale": 0.5, "reason": "too noisy"})
    status = digits.until(lambda status: status if status.get("lastDecision") else None)
    decision = status["lastDecision"]
    assert decision["groups"] == {"default": {"old": 1e-3, "new": 5e-4}}
    assert decision["appliedStep"] > 0
    assert decision["principal"] == "kubernetes:kubectl-patch"
    assert decision["reason"].startswith("too noisy")
    assert status["learningRate"] == {"default": 5e-4}
    assert status["acted"]["generation"] == digits.get()["metadata"]["generation"] == 2
    [record] = daemon.client.list_decisions("digits")
    assert record.decision.applied_step == decision["appliedStep"]

    daemon.client.change_learning_rate("digits", Change(verb=Verb.SCALE, value=0.1))
    drift = digits.until(lambda status: status.get("drift"))
    assert (drift["principal"], drift["verb"], drift["value"]) == ("ada@terminal", "scale", 0.1)
    assert digits.condition("Drifted")["status"] == "True"
    assert daemon.client.explain("digits").groups[0].learning_rate == pytest.approx(5e-5)

    digits.patch(learningRate={"scale": 0.25})
    digits.until(lambda status: status.get("acted", {}).get("generation") == 3)
    assert daemon.client.explain("digits").groups[0].learning_rate == pytest.approx(2.5e-4)
    eventually(lambda: digits.condition("Drifted")["status"] == "False", "nothing drifts")
    row = cluster.table()["digits"]
    assert (row["Phase"], row["LR"]) == ("running", "0.00025")
    assert digits.event("LearningRateChanged").involved_object.uid

    digits.delete()
    eventually(digits.is_gone, "digits is gone")
    ended = daemon.client.get_run("digits")
    assert ended.phase is Phase.STOPPED
    assert ended.result.weights


def test_schedule_and_policies_are_declared_shown_as_drifted_and_declared_anew(
    daemon, apply, eventually
):
    digits = apply("edited")
    digits.until_phase("running")

    digits.patch(
        schedule={
            "swap": {
                "name": "ConstantLR",
                "args": {"factor": 0.5, "total_iters": 10**6},
                "rescale": False,
            }
        },
        policies={"plateau": {"state": "shadow", "args": {"patience": 1000}, "reason": "trial"}},
    )
    digits.until(lambda status: status.get("acted", {}).get("generation") == 2)
    swap, attach = (one.decision for one in daemon.client.list_decisions("edited"))
    assert (swap.verb, swap.principal) == ("swap", "kubernetes:kubectl-patch")
    assert (attach.verb, attach.policy.policy) == ("attach", "plateau")
    assert attach.reason.startswith("trial [TrainingRun ml/edited")
    [policy] = daemon.client.get_run("edited").snapshot.policies
    assert policy.shadow
    assert daemon.client.explain("edited").groups[0].base == pytest.approx(5e-4)
    assert digits.condition("LearningRateApplied")["reason"] == "Applied"

    detach = Change(verb=Verb.DETACH, policy=PolicyEdit(policy="plateau"))
    daemon.client.change_learning_rate("edited", detach)
    drift = digits.until(lambda status: status.get("drift"))
    assert (drift["principal"], drift["verb"], drift["subject"]) == (
        "ada@terminal",
        "detach",
        "plateau",
    )

    digits.patch(policies={"plateau": None}, schedule={"swap": None, "rewarm": {"steps": 10}})
    digits.until(lambda status: status.get("acted", {}).get("generation") == 3)
    eventually(lambda: digits.condition("Drifted")["status"] == "False", "nothing drifts")
    verbs = [one.decision.verb for one in daemon.client.list_decisions("edited")]
    assert verbs == ["swap", "attach", "detach", "rewarm"]


def test_a_run_that_ends_by_itself_tells_its_result(daemon, apply):
    short = apply("short", {"train": {"steps": 20, "device": "cpu"}})

    status = short.until_phase("succeeded")

    assert (status["step"], status["steps"]) == (20, 20)
    assert status["validationAccuracy"] > 0
    assert short.condition("Finished")["status"] == "True"
    assert short.event("Succeeded").message == "run short ended after 20 steps"


def test_a_spec_that_only_the_daemon_can_judge_is_refused_by_it(daemon, apply):
    wrong = apply("wrong", {"train": {"steps": 10}, "schedule": {"name": "cosmic"}})

    wrong.until_phase("refused")

    assert "schedule.name = cosmic" in wrong.condition("Accepted")["message"]
    assert wrong.event("InvalidSpec").type == "Warning"


def test_a_suspended_resource_is_trained_once_it_is_not(daemon, apply):
    late = apply("late", suspend=True)
    late.until_phase("waiting")

    late.patch(suspend=False)
    late.until_phase("running")
    late.patch(suspend=True)
    late.until_phase("paused")


def test_a_script_that_is_attached_is_shown_steered_and_let_go(daemon, cluster, apply, eventually):
    mine = apply("mine", attached=True)
    mine.until_phase("waiting")
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=0.1)

    with rheostat.attach(optimizer, name="mine", address=daemon.address) as script:

        def train_until(question):
            def ask():
                weight.grad = torch.ones(2)
                optimizer.step()
                script.step(0.5)
                return question()

            return eventually(ask, "mine is as wanted")

        train_until(lambda: mine.status["phase"] == "running")
        mine.patch(learningRate={"scale": 0.5, "reason": "too noisy"})
        train_until(lambda: mine.status.get("learningRate") == {"default": 0.05})
        assert script.learning_rates == {"default": 0.05}
        row = cluster.table()["mine"]
        assert (row["Phase"], row["LR"], row["Loss"]) == ("running", "0.05", "0.5")
        assert row["Step"].endswith("/?")

        mine.delete()
        eventually(mine.is_gone, "mine is gone at once")
        steps = script.finished_steps
        train_until(lambda: script.finished_steps > steps)
        assert not script.should_stop
