"""Schedule edits over gRPC: what a run really used is what the edited schedule says."""

import json
import struct

import pytest

from rheostat.runs import audit
from rheostat.runs.records import Phase
from rheostat.steering.records import ScheduleEdit
from rheostat_policies import SCHEDULES, ScheduleRun

LR = 1e-3
STEPS = 300


def curve(name, steps, **args):
    return SCHEDULES[name](
        ScheduleRun(lr=LR, steps=steps, steps_per_epoch=10), **args
    ).learning_rate


def used(run):
    """Return the LR and the base of every step, as they were exported."""
    rates, bases = [], []
    for rows in run.daemon.client.export_run(run.name):
        rates += struct.unpack(f"<{rows.count}d", rows.learning_rate["default"])
        bases += struct.unpack(f"<{rows.count}d", rows.base["default"])
    return rates, bases


def begin(daemon, **schedule):
    """Have a run whose trainer starts: what it is told now waits for its step."""
    run = daemon.create(schedule=schedule, train={"steps": STEPS}, optimizer={"lr": LR})
    run.reach(Phase.STARTING)
    return run


def edit(run, verb, at_step, **fields):
    """Ask for an edit that waits for its step; the run need not have begun."""
    wish = ScheduleEdit(**fields)
    assert run.change(verb, edit=wish, at_step=at_step, wait=False, request_id=verb) is None


def test_a_run_uses_the_schedule_as_it_was_edited_to_the_last_bit(daemon):
    run = begin(daemon, name="warmup_cosine", args={"min_lr": 1e-4})
    edit(run, "swap", 50, schedule="StepLR", args=json.dumps({"step_size": 20}), rescale=False)
    edit(run, "horizon", 100, steps=400)
    run.change("scale", 0.5, at_step=150, wait=False)
    edit(run, "rewarm", 200, steps=10, ratio=0.2)
    edit(run, "cooldown", 300, steps=50, shape="linear", ratio=0.1)
    view = run.end()

    rates, bases = used(run)
    cosine, stepped = curve("warmup_cosine", STEPS, min_lr=1e-4), curve("StepLR", 350, step_size=20)
    expected = [cosine(step) for step in range(50)]
    expected += [stepped(step - 50) for step in range(50, 200)]
    expected += [
        stepped(step - 50) * (0.2 + 0.8 * min(1.0, (step - 199) / 10)) for step in range(200, 300)
    ]
    start = expected[-1]
    expected += [start * (0.1 + 0.9 * max(0.0, 1 - own / 50)) for own in range(100)]
    assert view.phase == "succeeded"
    assert len(rates) == 400
    assert bases == pytest.approx(expected, rel=1e-13)
    assert bases[:200] == expected[:200]
    assert bases[209:301] == [*expected[209:300], start], "goes on to the last bit"
    assert rates == [*bases[:150], *(base * 0.5 for base in bases[150:])]

    history = run.history
    audit.verify(history)
    decided = [(one.decision.verb, one.decision.applied_step) for one in history]
    assert decided == [
        ("swap", 50),
        ("horizon", 100),
        ("scale", 150),
        ("rewarm", 200),
        ("cooldown", 300),
    ]
    in_force = [
        [one.verb for one in daemon.client.explain(run.name, step).decisions]
        for step in (49, 50, 250, 399)
    ]
    assert in_force == [
        [],
        ["swap"],
        ["swap", "horizon", "scale", "rewarm"],
        ["scale", "cooldown"],
    ]


@pytest.mark.parametrize("steps", [150, 450])
def test_a_run_ends_at_the_horizon_it_is_given(daemon, steps):
    run = begin(daemon, name="cosine")
    edit(run, "horizon", 100, steps=steps)
    view = run.end()

    before, after = curve("cosine", STEPS), curve("cosine", steps)
    rates, _ = used(run)
    assert (view.phase, view.steps, view.result.steps) == ("succeeded", steps, steps)
    assert rates[:101] == [before(step) for step in range(101)]
    scale = before(100) / after(100)
    assert rates[101:] == pytest.approx([scale * after(step) for step in range(101, steps)])
    assert daemon.json("runs", "list")[-1]["steps"] == steps


def test_a_swap_asked_for_now_goes_on_from_the_lr_of_the_step_before(daemon):
    with daemon.training(schedule={"name": "warmup_cosine", "args": {}}) as run:
        dry = run.change("swap", edit=ScheduleEdit(schedule="linear"), dry_run=True)
        decision = run.change("swap", edit=ScheduleEdit(schedule="linear"), reason="steady")
        run.advance(50)

    [change] = decision.groups
    rates, _ = used(run)
    step = decision.applied_step
    assert (dry.revision, decision.revision) == (1, 1)
    assert change.new == change.old == rates[step - 1] == rates[step]
    assert rates[step + 50] < rates[step]
    assert [one.decision.reason for one in run.history] == ["steady"]
