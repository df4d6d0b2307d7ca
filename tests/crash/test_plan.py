"""The plans of the crash harness: what a seed stands for, and that it is worth playing."""

import itertools
import json

import pytest
from tests.crash.evidence import Sight, lasting
from tests.crash.plan import Errand, Moment, Return, Victim, make_plan

from rheostat.spec.validation import load
from rheostat.steering.records import Change, Verb
from rheostat.steering.requests import check

SEEDS = range(40)


def test_a_seed_stands_for_one_plan() -> None:
    assert make_plan(7, 8) == make_plan(7, 8)
    assert make_plan(7, 8) != make_plan(8, 8)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_planned_can_be_asked_for(seed: int) -> None:
    plan = make_plan(seed, 8)

    for spec, wishes in zip(plan.specs, plan.wishes, strict=True):
        load(json.dumps(spec))
        for wish in wishes:
            if isinstance(wish.what, Change):
                check(wish.what, ["default"])


def test_seeds_try_everything() -> None:
    plans = [make_plan(seed, 8) for seed in SEEDS]
    blows = [blow for plan in plans for blow in plan.blows]
    wanted = [wish.what for plan in plans for wishes in plan.wishes for wish in wishes]
    changes = [what for what in wanted if isinstance(what, Change)]

    assert {blow.moment for blow in blows} == {*Moment}
    assert {blow.victim for blow in blows} == {*Victim}
    backs = [what for what in wanted if isinstance(what, Return)]
    assert {(bool(one.skip), bool(one.scale), bool(one.rewarm_steps)) for one in backs} == {
        *itertools.product([False, True], repeat=3)
    }
    kept = [spec["checkpoint"]["snapshots"] for plan in plans for spec in plan.specs]
    assert None in kept
    assert any(kept)
    assert {what for what in wanted if isinstance(what, Errand)} == {*Errand}
    assert {change.verb for change in changes} == {*Verb} - {Verb.REVIVE}
    assert any(change.at_step is not None for change in changes)
    assert any(change.expires_after_steps is not None for change in changes)
    assert any(wish.is_careful for plan in plans for wishes in plan.wishes for wish in wishes)
    requests = [change.request_id for change in changes]
    assert len(set(requests)) == len(requests)


def test_what_was_shown_may_be_lost_only_where_both_died_soon_after() -> None:
    early, late = Sight(1.0, 1, 0.5, 0), Sight(19.0, 2, 0.4, 0)

    assert lasting([early, late], [20.0], []) == [early, late], "the trainer tells it again"
    assert lasting([early, late], [], [20.0]) == [early, late], "the daemon knows it"
    assert lasting([early, late], [20.0], [21.0]) == [early]
