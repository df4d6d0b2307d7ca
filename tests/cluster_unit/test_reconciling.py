import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.cluster.declaration import Declaration
from rheostat.cluster.findings import ACCEPTED, LEARNING_RATE_APPLIED, Findings, Refusal
from rheostat.cluster.names import FINALIZER
from rheostat.cluster.reconciling import (
    Claim,
    Create,
    Guard,
    LetGo,
    Note,
    Pause,
    Resume,
    Steer,
    Stop,
    is_for,
    is_settled,
    next_action,
)
from rheostat.cluster.reported import Acted, Status
from rheostat.cluster.resources import TrainingRun
from rheostat.runs.records import Phase, RunView, Snapshot

DECLARED = Declaration()
HALF = Declaration.model_validate({"learningRate": {"scale": 0.5}})
ASLEEP = Declaration(suspend=True)


def resource(declaration=DECLARED, *, daemon="me", run="digits", **fields):
    status = Status(daemon=daemon, run=run, phase=fields.pop("phase", None))
    usual = {"generation": 1, "finalizers": (FINALIZER,), "is_deleting": False}
    return TrainingRun(
        name="digits",
        namespace="ml",
        uid="u",
        resource_version="1",
        principal="kubernetes",
        run={},
        declaration=declaration,
        status=status,
        reported={},
        **{**usual, **fields},
    )


def run(phase=Phase.RUNNING, snapshot=True):
    seen = Snapshot(step=1, revision=0, groups=()) if snapshot else None
    return RunView(name="digits", phase=phase, spec="{}", snapshot=seen)


def found(resource, run=None, **fields):
    return Findings(resource=resource, daemon="me", run=run, now=100.0, **fields)


def refused(condition, retry_at=None, generation=1):
    return Refusal(
        generation=generation, condition=condition, reason="No", message="no", retry_at=retry_at
    )


# --- becoming ours -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("taken_by", "wanted", "is_mine"),
    [
        ("", None, True),
        ("", "me", True),
        ("", "other", False),
        ("me", None, True),
        ("other", None, False),
        ("me", "other", True),
        ("other", "me", False),
    ],
)
def test_who_has_taken_a_resource_trains_it_else_who_is_wanted_else_anybody(
    taken_by, wanted, is_mine
):
    assert is_for(resource(Declaration(daemon=wanted), daemon=taken_by), "me") is is_mine


def test_nothing_is_done_to_the_resource_of_another():
    assert next_action(found(resource(daemon="other"))) is None


def test_a_new_resource_is_claimed_then_guarded_then_its_run_created():
    new = {"run": ""}

    assert next_action(found(resource(daemon="", **new))) == Claim()
    assert next_action(found(resource(finalizers=(), **new))) == Guard()
    assert next_action(found(resource(**new))) == Create()


def test_a_suspended_resource_has_no_run_created():
    assert next_action(found(resource(ASLEEP, run=""))) is None


def test_a_run_that_was_lost_is_not_created_again():
    assert next_action(found(resource(run="digits"))) is None


def test_a_refused_spec_waits_for_another():
    once = found(resource(run=""), refusals=(refused(ACCEPTED),))
    mended = found(resource(run="", generation=2), refusals=(refused(ACCEPTED),))

    assert next_action(once) is None
    assert next_action(mended) == Create()


def test_a_malformed_declaration_is_left_alone():
    assert next_action(found(resource(None), run())) is None


# --- steering ------------------------------------------------------------------------------------


def test_a_generation_that_asks_for_nothing_is_noted():
    assert next_action(found(resource(), run())) == Note(DECLARED)


def test_a_generation_that_was_carried_out_is_not_carried_out_again():
    acted = Acted(generation=1)

    assert next_action(found(resource(HALF), run(), acted=acted)) is None


def test_a_new_lr_is_brought_about_once_the_run_trains():
    assert next_action(found(resource(HALF), run(Phase.STARTING))) is None
    assert next_action(found(resource(HALF), run(snapshot=False))) is None
    assert next_action(found(resource(HALF), run())) == Steer("digits", HALF)
    assert next_action(found(resource(HALF), run(Phase.PAUSED))) == Steer("digits", HALF)


def test_one_lr_is_on_its_way_at_a_time():
    assert next_action(found(resource(HALF), run(), is_steering=True)) is None


def test_a_run_that_has_ended_is_not_steered():
    assert next_action(found(resource(HALF), run(Phase.SUCCEEDED))) is None


def test_a_refused_lr_is_tried_again_when_its_time_has_come():
    def asked(retry_at):
        refusals = (refused(LEARNING_RATE_APPLIED, retry_at),)
        return next_action(found(resource(HALF), run(), refusals=refusals))

    assert asked(None) is None
    assert asked(101.0) is None
    assert asked(100.0) == Steer("digits", HALF)


def test_a_run_is_paused_and_resumed_when_suspend_changes():
    awake = Acted(generation=1)
    asleep = Acted(generation=1, suspend=True)
    newer = {"generation": 2}

    assert next_action(found(resource(ASLEEP, **newer), run(), acted=awake)) == Pause("digits")
    assert next_action(found(resource(**newer), run(Phase.PAUSED), acted=asleep)) == Resume(
        "digits"
    )


def test_a_pause_by_other_ways_is_not_undone():
    acted = Acted(generation=1)

    assert next_action(found(resource(generation=2), run(Phase.PAUSED), acted=acted)) == Note(
        DECLARED
    )


# --- the end -------------------------------------------------------------------------------------


def test_a_deletion_stops_the_run_and_lets_go_once_it_has_ended():
    leaving = resource(is_deleting=True)

    assert next_action(found(leaving, run())) == Stop("digits")
    assert next_action(found(leaving, run(Phase.STOPPING))) is None
    assert next_action(found(leaving, run(Phase.STOPPED))) == LetGo()
    assert next_action(found(leaving, None)) == LetGo()


def test_a_deletion_of_what_another_has_taken_is_left_to_it():
    assert next_action(found(resource(daemon="other", is_deleting=True), run())) is None


def test_what_is_deleted_and_let_go_is_done_with():
    assert next_action(found(resource(is_deleting=True, finalizers=()), run())) is None


@pytest.mark.parametrize(
    ("told", "phase", "generation", "is_over"),
    [
        ("succeeded", Phase.SUCCEEDED, 0, True),
        ("running", Phase.SUCCEEDED, 0, False),
        ("running", Phase.RUNNING, 0, False),
        ("succeeded", Phase.SUCCEEDED, 1, False),
    ],
)
def test_a_resource_is_settled_when_it_tells_the_end_of_its_run(told, phase, generation, is_over):
    assert is_settled(resource(phase=told, generation=generation), run(phase)) is is_over


# --- the law -------------------------------------------------------------------------------------


@given(
    declaration=st.sampled_from([DECLARED, HALF, ASLEEP]),
    daemon=st.sampled_from(["", "me", "other"]),
    phase=st.sampled_from([None, *Phase]),
    is_deleting=st.booleans(),
    is_guarded=st.booleans(),
    was_suspended=st.booleans(),
)
def test_doing_what_is_to_be_done_comes_to_an_end(
    declaration, daemon, phase, is_deleting, is_guarded, was_suspended
):
    one = resource(
        declaration,
        daemon=daemon,
        run="" if phase is None else "digits",
        is_deleting=is_deleting,
        finalizers=(FINALIZER,) if is_guarded else (),
    )
    at = found(one, run(phase) if phase else None, acted=Acted(suspend=was_suspended))
    for _ in range(8):
        action = next_action(at)
        if action is None:
            return
        at = after(at, action)
    raise AssertionError(f"no end: {action}")


def after(at, action):
    """Return what is found when an action has done what it is for."""
    one, replace = at.resource, msgspec.structs.replace
    match action:
        case Claim():
            status = one.status.model_copy(update={"daemon": "me"})
            return replace(at, resource=replace(one, status=status))
        case Guard():
            return replace(at, resource=replace(one, finalizers=(FINALIZER,)))
        case LetGo():
            return replace(at, resource=replace(one, finalizers=()))
        case Create():
            return replace(at, run=run())
        case Stop():
            return replace(at, run=run(Phase.STOPPED))
        case Pause():
            return replace(at, run=run(Phase.PAUSED), acted=Acted(suspend=True))
        case Resume():
            return replace(at, run=run(Phase.RUNNING), acted=Acted(suspend=False))
        case Steer(_, declared) | Note(declared):
            acted = Acted(
                generation=1, suspend=declared.suspend, learning_rate=declared.learning_rate
            )
            return replace(at, acted=acted)
