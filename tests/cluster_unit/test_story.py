from rheostat.cluster.declaration import LearningRateDeclaration
from rheostat.cluster.declared_policies import PolicyDeclaration
from rheostat.cluster.reported import Acted
from rheostat.cluster.story import REMEMBERED_CHANGES, Story, continued, drift
from rheostat.spec.models import PolicySpec
from rheostat.steering.records import Decision, GroupChange, PolicyEdit, ScheduleEdit, Verb

UID = "1234"
OWN = {"plateau": PolicySpec(name="plateau")}


def decision(revision, *, groups=("default",), **fields):
    moves = tuple(GroupChange(name=name, old=0.1, new=0.05, base=0.1) for name in groups)
    made = {"source": "operator", "verb": "scale", "principal": "ada", **fields}
    return Decision(revision=revision, applied_step=revision, groups=moves, **made)


def story_of(*decisions):
    story = Story()
    for one in decisions:
        story = continued(story, one, UID)
    return story


def acted(**revisions):
    declared = LearningRateDeclaration(scale=0.5)
    return Acted(generation=2, learning_rate=declared, revisions=revisions)


def found_drift(story, acted, in_force=(1, 2, 3), seen=9):
    found = drift(story, acted, OWN, seen=seen, in_force=in_force)
    return found.revision if found else None


def test_the_newest_decision_is_the_last_whoever_made_it():
    story = story_of(decision(1), decision(2, source="policy:plateau"))

    assert story.last.revision == 2


def test_a_change_by_other_ways_after_the_declaration_is_drift():
    assert found_drift(story_of(decision(1), decision(2)), acted(default=1)) == 2


def test_what_the_resource_asked_for_itself_is_no_drift():
    ours = decision(2, request_id=f"kubernetes:{UID}:2:0:scale:default")

    assert found_drift(story_of(ours), acted(default=1)) is None


def test_what_another_resource_asked_for_is_drift():
    theirs = decision(2, request_id="kubernetes:other:2:0:scale:default")

    assert found_drift(story_of(theirs), acted(default=1)) == 2


def test_policies_and_guardrails_are_no_drift():
    story = story_of(decision(1, source="policy:plateau"), decision(2, source="guardrail"))

    assert found_drift(story, acted()) is None


def test_a_change_that_acts_no_more_is_no_drift():
    assert found_drift(story_of(decision(2)), acted(default=1), in_force=(1,)) is None


def test_a_change_the_snapshot_does_not_know_yet_is_drift():
    assert found_drift(story_of(decision(2)), acted(default=1), in_force=(), seen=1) == 2


def test_a_release_of_what_is_declared_is_drift_though_nothing_acts():
    released = story_of(decision(2, verb=Verb.RELEASE))

    assert found_drift(released, acted(default=1), in_force=()) == 2
    assert found_drift(released, Acted(), in_force=()) is None


def test_each_group_drifts_since_it_was_last_declared():
    story = story_of(decision(2, groups=("body",)), decision(3, groups=("head",)))

    assert found_drift(story, acted(body=1, head=3)) == 2
    assert found_drift(story, acted(body=2, head=2)) == 3
    assert found_drift(story, acted(body=2, head=3)) is None


def test_an_edit_of_the_schedule_drifts_since_one_was_last_declared():
    swapped = story_of(decision(2, verb=Verb.SWAP, edit=ScheduleEdit(schedule="cosine")))

    assert found_drift(swapped, acted(default=5)) == 2
    assert found_drift(swapped, acted(default=5), in_force=()) is None
    assert found_drift(swapped, Acted(schedule_revision=2)) is None


def of_policy(revision, verb, policy="plateau", **fields):
    return decision(revision, verb=verb, policy=PolicyEdit(policy=policy, **fields))


def test_a_policy_that_others_moved_from_where_it_is_wanted_is_drift():
    detached = story_of(of_policy(2, Verb.DETACH))
    wanted_detached = Acted(policies={"plateau": PolicyDeclaration(state="detached")})

    assert found_drift(detached, Acted(), in_force=()) == 2
    assert found_drift(detached, Acted(policy_revisions={"plateau": 2})) is None
    assert found_drift(detached, wanted_detached) is None
    assert found_drift(story_of(of_policy(2, Verb.ATTACH, "greedy")), Acted()) == 2


def test_a_policy_that_others_put_back_is_no_drift():
    story = story_of(
        of_policy(1, Verb.SHADOW),
        of_policy(2, Verb.ATTACH, "greedy"),
        of_policy(3, Verb.ENGAGE),
        of_policy(4, Verb.DETACH, "greedy"),
    )

    assert found_drift(story, Acted()) is None


def test_a_policy_that_others_asked_again_after_the_bench_is_no_drift():
    story = story_of(of_policy(1, Verb.SHADOW), of_policy(2, Verb.REVIVE))

    assert found_drift(story, Acted()) == 1


def test_a_long_history_costs_no_more_than_a_short_one():
    story = story_of(*(decision(revision) for revision in range(1, 1000)))

    assert len(story.foreign) == REMEMBERED_CHANGES
