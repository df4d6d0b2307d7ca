"""Declared policies, against the real composition law."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rheostat.cluster.declaration import Declaration
from rheostat.cluster.declared_policies import (
    PolicyState,
    PolicyWish,
    new_policy_wishes,
    next_policy_changes,
    wish_for,
)
from rheostat.spec.models import GuardrailsSpec, PolicySpec
from rheostat.steering.group import Group
from rheostat.steering.guardrails import guardrails_of
from rheostat.steering.policies import AttachedPolicy
from rheostat.steering.records import Change, PolicyEdit, Verb
from rheostat.steering.steering import Steering
from rheostat_policies import KEEP, Curve, GroupInfo, RunInfo

NAMES = ("greedy", "plateau")
BASE = 0.1
STEPS = 1000
RUN = RunInfo(name="bench", steps=STEPS, groups=(GroupInfo(name="default", parameters=1),))
ATTACHED, SHADOW, DETACHED = PolicyState


class Quiet:
    """A policy that keeps the LR."""

    def initial_state(self, run):
        return None

    def decide(self, state, observation):
        return KEEP, state


class Bench:
    """One group and its policies under the composition law, one step at a time."""

    def __init__(self):
        bounds = guardrails_of(GuardrailsSpec(), lambda step: BASE, STEPS)
        group = Group("default", Curve(learning_rate=lambda step: BASE), 1.0, bounds)
        ticking = itertools.count(1)
        self.args = {}
        """What each policy was attached with last."""
        self._steering = Steering(
            [group],
            [],
            lambda: float(next(ticking)),
            steps=STEPS,
            make_curve=lambda *_: Curve(learning_rate=lambda step: BASE),
            make_policy=self._make,
        )
        self._step = itertools.count()
        self._tickets = itertools.count()

    def _make(self, edit):
        self.args[edit.policy] = json.loads(edit.args)
        return AttachedPolicy(edit.policy, Quiet(), RUN, is_shadow=edit.shadow)

    @property
    def statuses(self):
        return self._steering.roster.statuses()

    @property
    def states(self):
        found = {one.name: SHADOW if one.shadow else ATTACHED for one in self.statuses}
        return dict.fromkeys(NAMES, DETACHED) | found

    def take_step(self, *changes):
        """Take a step at whose boundary changes arrive; the impossible ones are refused."""
        self._steering.advance(next(self._step), None)
        for change in changes:
            self._steering.submit(next(self._tickets), change)
        self._steering.settle()

    def bring_about(self, wishes, outdated=()):
        """Carry out wishes round by round, and return the number of rounds."""
        outdated = set(outdated)
        for rounds in range(4):
            changes = list(next_policy_changes(wishes, self.statuses, outdated))
            if not changes:
                return rounds
            self.take_step(*changes)
            outdated -= {change.policy.policy for change in changes}
        raise AssertionError(f"no end of changes: {changes}")


POLICIES = st.sampled_from(NAMES)
EDITS = st.one_of(
    st.builds(
        Change,
        verb=st.just(Verb.ATTACH),
        policy=st.builds(
            PolicyEdit, policy=POLICIES, args=st.just('{"patience": 3}'), shadow=st.booleans()
        ),
    ),
    st.builds(
        Change,
        verb=st.sampled_from([Verb.DETACH, Verb.SHADOW, Verb.ENGAGE]),
        policy=st.builds(PolicyEdit, policy=POLICIES, ramp_steps=st.integers(1, 3)),
    ),
)
WISHES = st.builds(
    PolicyWish, st.sampled_from(PolicyState), st.just({"patience": 7}), st.integers(1, 3)
)


@given(st.lists(EDITS, max_size=6), st.dictionaries(POLICIES, WISHES))
def test_whatever_was_done_before_policies_become_what_is_declared(history, wishes):
    bench = Bench()
    bench.take_step()
    for edit in history:
        bench.take_step(edit)
    before = bench.states

    bench.bring_about(wishes)

    assert bench.states == before | {name: wish.state for name, wish in wishes.items()}
    assert bench.bring_about(wishes) == 0


@given(st.lists(EDITS, max_size=6), st.sampled_from([ATTACHED, SHADOW]))
def test_other_arguments_make_a_policy_begin_anew(history, state):
    bench = Bench()
    bench.take_step()
    for edit in history:
        bench.take_step(edit)

    bench.bring_about({"plateau": PolicyWish(state, {"patience": 7})}, {"plateau"})

    assert bench.states["plateau"] is state
    assert bench.args["plateau"] == {"patience": 7}


# --- what is wanted ----------------------------------------------------------------------------

OWN = {"plateau": PolicySpec(name="plateau", args={"patience": 5}, shadow=True)}


def declared(**policies):
    return Declaration.model_validate({"policies": policies}).policies


def test_a_policy_of_which_nothing_is_said_is_as_the_run_began_with_it():
    assert wish_for("plateau", {}, OWN) == PolicyWish(SHADOW, {"patience": 5})
    assert wish_for("loss_spike", {}, OWN).state is DETACHED


def test_a_declared_policy_has_the_arguments_of_the_spec_unless_it_has_its_own():
    assert wish_for("plateau", declared(plateau={}), OWN) == PolicyWish(ATTACHED, {"patience": 5})
    assert wish_for("plateau", declared(plateau={"args": {}}), OWN).args == {}


def test_a_null_argument_is_one_that_is_not_given():
    said = declared(plateau={"args": {"patience": 3, "cooldown": None}})

    assert said["plateau"].args == {"patience": 3}


def test_only_policies_whose_wish_has_changed_are_touched():
    before = declared(plateau={}, loss_spike={"reason": "noise"})
    now = declared(plateau={}, loss_spike={"reason": "still noise"}, greedy={"state": "shadow"})

    assert new_policy_wishes(now, before, OWN) == ({"greedy": PolicyWish(SHADOW, {})}, set())


def test_a_declaration_taken_away_puts_a_policy_back():
    before = declared(plateau={"state": "detached"}, loss_spike={})

    wishes, outdated = new_policy_wishes({}, before, OWN)

    assert {name: wish.state for name, wish in wishes.items()} == {
        "plateau": SHADOW,
        "loss_spike": DETACHED,
    }
    assert outdated == set()


def test_other_arguments_are_seen_where_the_policy_was_and_stays_attached():
    before = declared(plateau={}, loss_spike={"state": "detached"})
    now = declared(plateau={"args": {"patience": 9}}, loss_spike={"args": {"factor": 0.1}})

    assert new_policy_wishes(now, before, OWN)[1] == {"plateau"}


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        ({"state": "asleep"}, "'attached', 'shadow' or 'detached'"),
        ({"rampSteps": 0}, "greater than or equal to 1"),
        ({"shadow": True}, "Extra inputs"),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused(policy, why):
    with pytest.raises(ValidationError, match=why):
        declared(plateau=policy)
