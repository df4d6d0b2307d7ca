"""What is declared, against the real composition law."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.cluster.changing import new_wishes, next_changes
from rheostat.cluster.declaration import LearningRateDeclaration, Wish
from rheostat.errors import InvalidRequest
from rheostat.spec.models import GuardrailsSpec
from rheostat.steering.group import Group
from rheostat.steering.guardrails import guardrails_of
from rheostat.steering.records import Change, GroupState, Verb
from rheostat.steering.steering import Steering
from rheostat_policies import Curve

NAMES = ("body", "head")
STEPS = 1000
BASE = 0.1


def never(*_):
    raise AssertionError("schedules and policies stay as they are")


class Bench:
    """Two groups under the composition law, one step at a time."""

    def __init__(self):
        bounds = GuardrailsSpec(max_lr=1e6)
        groups = [
            Group(
                name,
                Curve(learning_rate=lambda step: BASE),
                1.0,
                guardrails_of(bounds, lambda step: BASE, STEPS),
            )
            for name in NAMES
        ]
        ticking = itertools.count(1)
        self._steering = Steering(
            groups,
            [],
            lambda: float(next(ticking)),
            steps=STEPS,
            make_curve=never,
            make_policy=never,
        )
        self._step = itertools.count()
        self._tickets = itertools.count()

    @property
    def groups(self):
        return self._steering.states()

    def take_step(self, *changes):
        self._steering.advance(next(self._step), None)
        for change in changes:
            self._steering.submit(next(self._tickets), change)
        self._steering.settle()

    def bring_about(self, wishes):
        """Carry out wishes round by round; return the LRs of each group on the way."""
        laid, seen = set(), []
        for _ in range(5):
            changes = next_changes(wishes, self.groups, laid)
            if not changes:
                return seen
            self.take_step(*changes)
            laid |= {name for one in changes if one.verb is not Verb.RELEASE for name in one.groups}
            seen.append({group.name: group.learning_rate for group in self.groups})
        raise AssertionError(f"no end of changes: {changes}")


FACTORS = st.floats(min_value=0.01, max_value=100)
CHANGES = st.one_of(
    st.builds(Change, verb=st.just(Verb.SCALE), value=FACTORS | st.just(0.0)),
    st.builds(Change, verb=st.just(Verb.SET), value=FACTORS),
    st.builds(Change, verb=st.just(Verb.HOLD), value=FACTORS),
    st.builds(Change, verb=st.just(Verb.RELEASE)),
)
HISTORIES = st.lists(st.tuples(CHANGES, st.sampled_from([(), ("body",), ("head",)])), max_size=6)
WISHES = st.one_of(
    st.none(),
    st.builds(Wish, st.just(Verb.SCALE), FACTORS | st.just(0.0)),
    st.builds(Wish, st.just(Verb.SET), FACTORS),
    st.builds(Wish, st.just(Verb.HOLD), FACTORS),
)


def lr_of(wish):
    if wish is None:
        return BASE
    return BASE * wish.value if wish.verb is Verb.SCALE else wish.value


@given(HISTORIES, WISHES, WISHES)
def test_whatever_was_done_before_the_lr_becomes_what_is_declared(history, body, head):
    bench = Bench()
    bench.take_step()
    for change, groups in history:
        bench.take_step(Change(verb=change.verb, value=change.value, groups=groups))
    wishes = {"body": body, "head": head}

    bench.bring_about(wishes)

    for group in bench.groups:
        assert math.isclose(group.learning_rate, lr_of(wishes[group.name]), rel_tol=1e-6)
        assert (group.hold is not None) == (
            wishes[group.name] is not None and wishes[group.name].verb is Verb.HOLD
        )


@given(HISTORIES, FACTORS)
def test_a_scale_that_is_brought_about_needs_no_more_changes(history, factor):
    bench = Bench()
    bench.take_step()
    for change, groups in history:
        bench.take_step(Change(verb=change.verb, value=change.value, groups=groups))
    wishes = dict.fromkeys(NAMES, Wish(Verb.SCALE, factor))
    bench.bring_about(wishes)

    assert next_changes(wishes, bench.groups) == []


@pytest.mark.parametrize("verb", [Verb.SCALE, Verb.SET])
def test_a_held_lr_goes_to_the_new_one_without_a_detour(verb):
    bench = Bench()
    bench.take_step(Change(verb=Verb.HOLD, value=0.001))

    on_the_way = bench.bring_about(dict.fromkeys(NAMES, Wish(verb, 0.5)))

    final = 0.5 * BASE if verb is Verb.SCALE else 0.5
    assert [lrs["body"] for lrs in on_the_way] == pytest.approx([0.001, final])


def state(name, **fields):
    return GroupState(
        name=name, learning_rate=0.1, base=0.1, factors={}, **{"operator": 1.0, **fields}
    )


def test_groups_that_need_the_same_are_changed_together():
    wishes = dict.fromkeys(NAMES, Wish(Verb.SCALE, 0.5))

    assert next_changes(wishes, [state("body"), state("head")]) == [
        Change(verb=Verb.SCALE, value=0.5, groups=("body", "head"))
    ]


def test_a_scale_counts_what_was_scaled_before():
    wishes = dict.fromkeys(NAMES, Wish(Verb.SCALE, 0.25))

    assert next_changes(wishes, [state("body", operator=0.5), state("head")]) == [
        Change(verb=Verb.SCALE, value=0.5, groups=("body",)),
        Change(verb=Verb.SCALE, value=0.25, groups=("head",)),
    ]


def declared(**rates):
    return LearningRateDeclaration.model_validate(rates)


def test_only_groups_whose_wish_has_changed_are_touched():
    before = declared(scale=0.5, groups={"head": {"hold": 0.1}})
    now = declared(scale=0.5, groups={"head": {"hold": 0.2}})

    assert new_wishes(now, before, NAMES) == {"head": Wish(Verb.HOLD, 0.2)}


def test_a_declaration_taken_away_leaves_its_groups_to_schedule_and_policies():
    assert new_wishes(None, declared(scale=0.5), NAMES) == {"body": None, "head": None}


def test_an_unknown_group_is_refused_with_its_path():
    with pytest.raises(InvalidRequest, match=r"spec\.learningRate\.groups\.tail.*body, head"):
        new_wishes(declared(groups={"tail": {"scale": 1}}), None, NAMES)
