"""What operators may ask: once, twice, too late, too much, and nonsense."""

import math
from concurrent.futures import ThreadPoolExecutor

import pytest

from rheostat.client import Client
from rheostat.errors import FailedPrecondition, InvalidRequest, NotFound, RevisionConflict
from rheostat.runs import audit

PEAK = 1e-3


@pytest.fixture(scope="module")
def run(daemon):
    """A run that trains through all tests of this file, with two groups."""
    groups = [{"name": "head", "match": "^head", "lr_scale": 0.1}]
    schedule = {"name": "warmup_cosine", "args": {"warmup_steps": 50}}
    with daemon.training(groups=groups, schedule=schedule) as run:
        yield run


@pytest.fixture(autouse=True)
def _training_goes_on(run):
    yield
    run.change("release")
    run.advance()
    assert run.view.phase == "running"


def test_the_same_request_twice_is_applied_once_and_answered_the_same(run):
    first = run.change("scale", 0.5, request_id="once")
    again = run.change("scale", 0.5, request_id="once")

    assert again == first
    assert [one.decision for one in run.history if one.decision.request_id == "once"] == [first]


def test_the_same_request_from_many_terminals_at_once_is_applied_once(run):
    with ThreadPoolExecutor(8) as threads:
        answers = list(
            threads.map(lambda _: run.change("scale", 0.5, request_id="together"), range(16))
        )

    assert len({answer.revision for answer in answers}) == 1


@pytest.mark.parametrize(
    "other",
    [{"value": 0.25}, {"verb": "set"}, {"groups": ("head",)}],
    ids=["another value", "another verb", "other groups"],
)
def test_a_request_id_is_not_for_another_wish(run, other):
    wish = {"verb": "scale", "value": 0.5, "request_id": f"mine {other}"}
    run.change(**wish)

    with pytest.raises(FailedPrecondition, match="used for a different change"):
        run.change(**wish | other)


def test_who_looked_too_long_ago_is_told_to_look_again(run):
    stale = run.view.revision
    run.change("scale", 0.5)

    with pytest.raises(RevisionConflict, match=f"not {stale}"):
        run.change("scale", 0.5, expected_revision=stale)
    done = run.daemon.rheostat("lr", "scale", run.name, "0.5", "--expected-revision", stale)

    assert done.returncode == 1
    assert "somebody changed it" in done.stderr
    assert run.change("scale", 2.0, expected_revision=stale + 1).revision == stale + 2


@pytest.mark.parametrize("verb", ["scale", "set", "hold"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0])
def test_a_number_that_is_no_learning_rate_is_refused(run, verb, value):
    revision = run.view.revision

    with pytest.raises(InvalidRequest) as refused:
        run.change(verb, value)

    [violation] = refused.value.violations
    assert violation.field.startswith(verb)
    assert violation.value == repr(value)
    assert violation.expected.endswith(", 0 or greater")
    assert run.view.revision == revision


@pytest.mark.parametrize("value", ["nan", "inf", "-1"])
def test_the_command_line_refuses_it_with_exit_code_2(run, value):
    done = run.daemon.rheostat("lr", "set", run.name, value)

    assert done.returncode == 2
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line == f"set.learning_rate = {float(value)}: a finite LR, 0 or greater"


@pytest.mark.parametrize("verb", ["scale", "set", "hold"])
def test_a_learning_rate_beyond_reason_is_clamped_and_the_answer_says_by_what(run, verb):
    decision = run.change(verb, 1e9)

    assert {group.name: group.new for group in decision.groups} == {
        "head": pytest.approx(100 * PEAK * 0.1),
        "default": pytest.approx(100 * PEAK),
    }
    assert decision.guardrails == ("max_lr",)


def test_an_unknown_group_is_refused_with_the_groups_there_are(run):
    with pytest.raises(InvalidRequest, match=r"groups\[0\] = heads: .*did you mean head\?"):
        run.change("scale", 0.5, groups=("heads",))


def test_an_unknown_run_is_named(daemon, run):
    with pytest.raises(NotFound, match="no run is named 'nobody'"):
        type(run)(daemon, "nobody").change("scale", 0.5)

    done = daemon.rheostat("lr", "show", "nobody")

    assert done.returncode == 1
    assert "no run is named 'nobody'" in done.stderr


def test_a_queued_run_cannot_be_changed_yet(daemon, run):
    queued = daemon.create(train={"steps": 1})

    with pytest.raises(FailedPrecondition, match="is queued: it has not started"):
        queued.change("scale", 0.5)

    assert queued.stop().phase == "stopped"


def test_a_change_for_one_group_leaves_the_other_alone(run):
    decision = run.change("hold", 0.25 * PEAK, groups=("head",))
    run.advance()

    [changed] = decision.groups
    assert (changed.name, changed.new) == ("head", 0.25 * PEAK)
    rates = {group.name: group.learning_rate for group in run.view.snapshot.groups}
    assert rates["head"] == 0.25 * PEAK
    assert rates["default"] == pytest.approx(PEAK, rel=0.01)


def test_a_change_waits_for_its_step_and_expires_after_others(run):
    due = run.step + 400

    decision = run.change("hold", 2 * PEAK, at_step=due, expires_after_steps=30)
    run.advance(200)

    assert decision.applied_step == due
    [expiry] = {
        one.decision.applied_step
        for one in run.history
        if one.decision.source == "expiry" and one.decision.revision > decision.revision
    }
    assert expiry == due + 30


def test_two_operators_leave_one_ordered_history_without_gaps(run, tmp_path):
    before = run.view.revision

    def operate(name):
        with Client(run.daemon.address, principal=name) as client:
            return [run.change("scale", (0.5, 2.0)[i % 2], client=client) for i in range(50)]

    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(operate, ("alice", "bob")))

    history = run.history
    audit.verify(history)
    new = [record.decision for record in history if record.decision.revision > before]
    assert sorted((one for each in answers for one in each), key=lambda one: one.revision) == new
    assert [one.principal for one in new].count("alice") == 50
    assert [one.revision for one in new] == list(range(before + 1, before + 101))
    assert [one.applied_step for one in new] == sorted(one.applied_step for one in new)

    rows = run.export(tmp_path / "run.csv")
    for index, decision in enumerate(new):
        step = decision.applied_step
        is_first = index == 0 or new[index - 1].applied_step != step
        is_last = index == len(new) - 1 or new[index + 1].applied_step != step
        for position, group in enumerate(decision.groups):
            column = f"learning_rate.{group.name}"
            old = rows[step - 1][column] if is_first else new[index - 1].groups[position].new
            assert group.old == float(old), "what the optimizer had"
            if is_last:
                assert group.new == float(rows[step][column]), "what it has from then on"
