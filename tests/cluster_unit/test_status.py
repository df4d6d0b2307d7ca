import msgspec

from rheostat.cluster.declaration import Declaration, LearningRateDeclaration
from rheostat.cluster.findings import ACCEPTED, Findings, Refusal
from rheostat.cluster.reported import Acted, Condition, Status
from rheostat.cluster.resources import TrainingRun
from rheostat.cluster.status import compose
from rheostat.cluster.story import Story
from rheostat.runs.records import Failure, Phase, Result, RunView, Snapshot
from rheostat.steering.records import Decision, GroupChange, GroupState

NOW = 1_800_000_000.0


def group(name, lr):
    return GroupState(name=name, learning_rate=lr, base=lr, factors={}, operator=1.0)


SNAPSHOT = Snapshot(
    step=50, revision=0, groups=(group("default", 5e-4),), train_loss=0.123456, validation_loss=0.5
)
RUN = RunView(name="digits", phase=Phase.RUNNING, spec="{}", steps=100, snapshot=SNAPSHOT)


def resource(status=None, **rates):
    declaration = Declaration.model_validate({"learningRate": rates} if rates else {})
    return TrainingRun(
        name="digits",
        namespace="ml",
        uid="u",
        generation=2,
        resource_version="1",
        finalizers=(),
        is_deleting=False,
        principal="kubernetes",
        run={},
        declaration=declaration,
        status=status or Status(),
        reported={},
    )


def composed(run=RUN, of=None, **fields):
    return compose(Findings(resource=of or resource(), daemon="me", run=run, now=NOW, **fields))


def answer(status, kind):
    [found] = [one for one in status.conditions if one.type == kind]
    return found.status, found.reason


def changed(run=RUN, **fields):
    return msgspec.structs.replace(run, **fields)


def test_a_status_tells_where_a_run_stands():
    status = composed().as_json()

    assert (status["phase"], status["step"], status["steps"]) == ("running", 50, 100)
    assert (status["trainLoss"], status["validationLoss"]) == (0.123456, 0.5)
    assert status["learningRate"] == {"default": 5e-4}
    assert status["display"] == {"step": "50/100", "loss": "0.1235", "learningRate": "0.0005"}
    assert (status["daemon"], status["observedGeneration"]) == ("me", 2)


def test_groups_with_lrs_of_their_own_are_named_to_kubectl():
    snapshot = msgspec.structs.replace(SNAPSHOT, groups=(group("body", 1e-4), group("head", 1e-3)))

    display = composed(changed(snapshot=snapshot)).display

    assert display.learning_rate == "body=0.0001,head=0.001"


def test_the_result_of_a_run_that_ended_takes_the_place_of_its_last_step():
    ended = changed(phase=Phase.SUCCEEDED, result=Result(steps=100, train_loss=0.01))

    status = composed(ended)

    assert (status.step, status.train_loss, status.validation_loss) == (100, 0.01, None)
    assert answer(status, "Finished") == ("True", "Succeeded")


def test_a_failure_is_told_with_its_reason():
    failed = changed(phase=Phase.FAILED, failure=Failure(message="no memory"))

    [finished] = [one for one in composed(failed).conditions if one.type == "Finished"]

    assert (finished.status, finished.reason, finished.message) == ("True", "Failed", "no memory")


def test_a_loss_that_json_cannot_say_is_left_out():
    snapshot = msgspec.structs.replace(SNAPSHOT, train_loss=float("nan"))

    status = composed(changed(snapshot=snapshot)).as_json()

    assert "trainLoss" not in status
    assert status["display"]["step"] == "50/100"


def test_a_run_without_a_step_has_a_status_too():
    status = composed(RunView(name="digits", phase=Phase.QUEUED, spec="{}")).as_json()

    assert (status["phase"], status["display"]) == ("queued", {"step": "0/?"})


def test_a_refused_spec_says_why():
    refusal = Refusal(generation=2, condition=ACCEPTED, reason="InvalidSpec", message="train: x")

    status = composed(None, refusals=(refusal,))

    assert (status.phase, answer(status, "Accepted")) == ("refused", ("False", "InvalidSpec"))


def test_a_lost_run_keeps_what_was_last_known_of_it():
    before = Status(run="digits", phase="running", step=50, learning_rate={"default": 5e-4})

    status = composed(None, resource(before))

    assert (status.phase, status.step, status.learning_rate) == ("lost", 50, {"default": 5e-4})
    assert answer(status, "Accepted") == ("False", "RunIsGone")


def test_a_run_that_was_changed_too_late_says_so():
    assert answer(composed(is_changed=True), "Accepted") == ("False", "ChangedTooLate")


def test_a_declared_lr_is_on_its_way_then_applied():
    declared = LearningRateDeclaration(scale=0.5)
    acted = Acted(generation=2, learning_rate=declared)
    half = resource(scale=0.5)

    def applied(**fields):
        return answer(composed(of=half, **fields), "LearningRateApplied")

    assert applied() == ("Unknown", "OnItsWay")
    assert applied(acted=acted) == ("True", "Applied")
    assert applied(run=changed(phase=Phase.STOPPED)) == ("False", "RunHasEnded")


def test_drift_names_who_did_what_when():
    change = GroupChange(name="default", old=5e-4, new=5e-5, base=5e-4, operator=0.1)
    decision = Decision(
        revision=1,
        applied_step=40,
        source="operator",
        groups=(change,),
        verb="scale",
        value=0.1,
        principal="ada",
        reason="too fast",
        time=NOW,
    )
    snapshot = msgspec.structs.replace(SNAPSHOT, revision=1, in_force=(1,))

    status = composed(
        changed(snapshot=snapshot, revision=1), story=Story(last=decision, foreign=(decision,))
    )

    assert (status.drift.principal, status.drift.applied_step) == ("ada", 40)
    assert status.drift.time == "2027-01-15T08:00:00Z"
    [drifted] = [one for one in status.conditions if one.type == "Drifted"]
    assert drifted.status == "True"
    assert drifted.message == (
        "ada scale 0.1 at step 40: default 0.0005 → 5e-05 (too fast); it is not undone"
    )


def test_a_condition_keeps_the_time_since_when_it_stands():
    old = "2026-01-01T00:00:00Z"
    before = Status(
        conditions=[
            Condition(type="Accepted", status="True", reason="x", last_transition_time=old),
            Condition(type="Finished", status="True", reason="x", last_transition_time=old),
        ]
    )

    times = {one.type: one.last_transition_time for one in composed(of=resource(before)).conditions}

    assert times["Accepted"] == old
    assert times["Finished"] == "2027-01-15T08:00:00Z"


def test_a_status_that_is_read_back_is_the_same():
    status = composed(acted=Acted(generation=2, learning_rate=LearningRateDeclaration(hold=0.0)))

    assert Status.model_validate(status.as_json()) == status
