"""A run that goes back to a checkpoint goes on from there, to the last bit."""

import time
from pathlib import Path
from typing import Any

import pytest
import torch

from rheostat.runs.checkpoints import list_checkpoints, list_undone
from rheostat.runs.lineage import surviving
from rheostat.runs.messages import (
    Applied,
    ChangeCommand,
    Refused,
    RollbackCommand,
    SaveCommand,
    Telemetry,
    Warned,
)
from rheostat.runs.starting import StartOrder
from rheostat.steering.records import Change, PolicyEdit, ScheduleEdit, Verb
from rheostat.trainer.learning import NonFiniteLoss

STEPS = 40
BACK = RollbackCommand(command_id=7, principal="ada", reason="it went astray", request_id="back")


NOISY = """
from torch import nn


def noisy(example):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.Dropout(0.3), nn.Linear(16, 10)
    )
"""


@pytest.fixture(autouse=True)
def _noisy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be a model that draws random numbers and remembers its batches."""
    (tmp_path / "noisy_model.py").write_text(NOISY)
    monkeypatch.syspath_prepend(tmp_path)


def scale(number: int, factor: float) -> ChangeCommand:
    return ChangeCommand(command_id=number, change=Change(verb=Verb.SCALE, value=factor))


def change(number: int, verb: Verb, **wish: Any) -> ChangeCommand:
    return ChangeCommand(command_id=number, change=Change(verb=verb, **wish))


def settle(daemon: Any) -> None:
    """Wait until no checkpoint is being written."""
    while daemon.loop._saver.is_busy:
        time.sleep(0.01)


def train(daemon: Any, back_at: int, saved_at: int) -> Any:
    """Train to the end, and see to it that the checkpoint is there when it is wanted."""
    daemon.loop.advance(saved_at + 1)
    settle(daemon)
    return daemon.finish()


def last_losses(daemon: Any) -> dict[int, float]:
    return daemon.losses()  # a later row of a step takes the place of an earlier one


def restart(run: Any, daemon: Any, **commands: Any) -> Any:
    """Start a trainer where one was killed after everything it had told was written down."""
    found = list_checkpoints(run.checkpoints)[-1]
    script = [one for one in surviving(daemon.decisions) if one.revision > found.revision]
    order = StartOrder(checkpoint=found.path, decisions=tuple(script), steps_done=daemon.step)
    return run.begin({}, order)


EXCURSIONS: list[dict[str, Any]] = [
    {"optimizer": {"name": "AdamW", "lr": 0.01, "args": {"amsgrad": True}}},
    {"optimizer": {"name": "schedulefree:AdamWScheduleFree", "lr": 0.01}},
    {"optimizer": {"name": "LBFGS", "lr": 0.1, "args": {"max_iter": 2}}},
    {
        "model": {"name": "noisy_model:noisy"},
        "schedule": {"name": "OneCycleLR", "args": {"max_lr": 0.3}},
        "policies": [{"name": "hypergradient"}, {"name": "kl_band"}],
        "groups": [{"name": "bias", "match": "bias$", "lr_scale": 2.0}],
    },
]


@pytest.mark.parametrize("spec", EXCURSIONS, ids=["adamw", "schedulefree", "lbfgs", "much"])
def test_a_run_that_went_astray_and_back_ends_as_the_one_that_did_not(
    a_run: Any, spec: dict[str, Any]
) -> None:
    straight = a_run(**spec).begin({9: [scale(1, 0.5)]}).finish()
    run = a_run(**spec)
    astray = {
        9: [scale(1, 0.5)],
        12: [SaveCommand(command_id=2)],
        15: [scale(3, 3.0), change(4, Verb.SWAP, edit=ScheduleEdit(schedule="constant"))],
        17: [change(5, Verb.ATTACH, policy=PolicyEdit(policy="plateau"))],
        25: [BACK],
    }
    daemon = run.begin(astray)

    weights = train(daemon, 25, 12)

    assert all(torch.equal(weights[name], one) for name, one in straight.items())
    [back] = [one for one in daemon.decisions if one.rollback is not None]
    assert (back.rollback.from_step, back.rollback.to_step, back.applied_step) == (25, 12, 12)
    assert [one.revision for one in daemon.decisions] == list(range(1, len(daemon.decisions) + 1))
    assert (back.source, back.principal, back.request_id) == ("rollback", "ada", "back")


def test_lr_and_batches_after_a_rollback_are_those_that_were_asked_for(a_run: Any) -> None:
    run = a_run(train={"steps": STEPS}, optimizer={"name": "SGD", "lr": 0.1})
    command = RollbackCommand(command_id=7, back_steps=10, skip=4, rewarm_steps=5, scale=0.5)
    daemon = run.begin({10: [SaveCommand(command_id=1)], 25: [command]})

    train(daemon, 25, 10)

    rates = daemon.column("learning_rate")
    assert [rates["default", step] for step in (9, 15)] == [0.1, 0.05]
    assert rates["default", 10] < 0.02
    verbs = [(one.source, one.verb) for one in daemon.decisions]
    assert verbs == [("rollback", "rollback"), ("operator", "scale"), ("operator", "rewarm")]
    assert daemon.loop.parts.steering.course.skipped == 4
    [answer] = daemon.all(Applied)
    assert answer.decision.rollback.skip == 4
    assert [(one.old, one.new) for one in answer.decision.groups] == [(0.1, 0.1)]


def test_where_no_checkpoint_is_old_enough_nothing_happens_and_that_is_told(a_run: Any) -> None:
    command = RollbackCommand(command_id=7, back_steps=20)
    daemon = a_run().begin({10: [SaveCommand(command_id=1)], 25: [command]})

    train(daemon, 25, 10)

    [refused] = daemon.all(Refused)
    assert refused.kind == "FailedPrecondition"
    assert "step 5 or before" in refused.message
    assert daemon.decisions == []


def test_checkpoints_of_what_is_undone_are_put_aside(a_run: Any) -> None:
    run = a_run(checkpoint={"every_seconds": 0, "keep": 5})
    saves = {step: [SaveCommand(command_id=step)] for step in (10, 15, 20)}
    daemon = run.begin(saves | {25: [RollbackCommand(command_id=7, step=12)]})
    for _ in range(26):
        daemon.loop.advance(1)
        settle(daemon)

    assert [one.step for one in list_checkpoints(run.checkpoints)] == [10]
    assert [(one.step, one.undone_by) for one in list_undone(run.checkpoints)] == [
        (15, 1),
        (20, 1),
    ]


@pytest.mark.parametrize("killed_after", [0, 1, 6])
def test_a_trainer_killed_after_a_rollback_has_a_successor_that_goes_on_to_the_last_bit(
    a_run: Any, killed_after: int
) -> None:
    policies = [{"name": "loss_spike", "args": {"warmup_steps": 2}}, {"name": "plateau"}]
    spec = {
        "policies": policies,
        "model": {"name": "noisy_model:noisy"},
    }
    command = RollbackCommand(command_id=7, skip=3, rewarm_steps=5, scale=0.5)
    plan = {9: [scale(1, 0.5)], 12: [SaveCommand(command_id=2)], 15: [scale(3, 3.0)], 25: [command]}
    alone = a_run(**spec).begin(plan)
    expected = train(alone, 25, 12)
    run = a_run(**spec)
    daemon = run.begin(plan)
    daemon.loop.advance(13)
    settle(daemon)
    daemon.loop.advance(12)
    daemon.loop._boundary.cross(0.0)  # the boundary at which it goes back
    for _ in range(killed_after):
        daemon.loop._boundary._is_settled = daemon.loop.step == 12
        daemon.loop.advance(1)
    daemon.loop.report()

    successor = restart(run, daemon)
    weights = successor.finish()

    assert all(torch.equal(weights[name], one) for name, one in expected.items())
    rates, told = successor.column("learning_rate"), alone.column("learning_rate")
    assert rates == {key: one for key, one in told.items() if key[1] >= 12}


@pytest.mark.parametrize("script", ["steps", "decisions"])
def test_a_successor_goes_back_behind_what_it_has_done_again_and_decides_anew_there(
    a_run: Any, script: str
) -> None:
    run = a_run(policies=[{"name": "loss_spike", "args": {"warmup_steps": 2}}])
    killed = run.begin({12: [SaveCommand(command_id=2)], 15: [scale(3, 0.5)]})
    killed.loop.advance(13)
    settle(killed)
    killed.loop.advance(9)
    decided = tuple(killed.decisions) if script == "decisions" else ()
    order = StartOrder(checkpoint=run.newest(), decisions=decided, steps_done=22)

    successor = run.begin({25: [BACK]}, order)
    successor.loop.advance(13)
    assert successor.step == 25
    successor._commands[14] = [scale(4, 0.8)]
    successor.loop.advance(5)

    expected = [("rollback", 12), ("operator", 14)]
    assert [(one.source, one.applied_step) for one in successor.decisions] == expected
    first = len(decided) + 1
    assert [one.revision for one in successor.decisions] == [first, first + 1]
    assert [one.decision for one in successor.all(Applied)] == successor.decisions
    assert not successor.all(Warned)


def test_a_run_that_is_done_again_from_its_beginning_takes_the_straight_way(a_run: Any) -> None:
    command = RollbackCommand(command_id=7, skip=3, scale=0.5)
    plan = {9: [scale(1, 0.5)], 12: [SaveCommand(command_id=2)], 15: [scale(3, 3.0)], 25: [command]}
    first = a_run().begin(plan)
    expected = train(first, 25, 12)

    order = StartOrder(decisions=tuple(surviving(first.decisions)), steps_done=STEPS, until=STEPS)
    again = a_run().begin({}, order)
    weights = again.finish()

    assert all(torch.equal(weights[name], one) for name, one in expected.items())
    assert again.losses() == last_losses(first)
    assert sum(one.rows.count for one in again.all(Telemetry) if one.rows is not None) == STEPS


# --- by itself -----------------------------------------------------------------------------------

GARBAGE = """
import torch
from torch.utils.data import Dataset


class Images(Dataset):
    classes = 10

    def __init__(self, samples, bad):
        generator = torch.Generator().manual_seed(1)
        self.targets = torch.arange(samples) % 10
        self.inputs = 0.3 * torch.randn(samples, 64, generator=generator)
        self.inputs[torch.arange(samples), self.targets] += 2.0
        if bad is not None:
            self.inputs[7] = float(bad)

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, index):
        return self.inputs[index], int(self.targets[index])


def images(bad=None):
    return Images(640, bad), Images(100, None)
"""
MENDS = {"back_steps": 3, "warmup_steps": 3, "threshold": 4.0, "hold_steps": 4, "ramp_steps": 4}


def spiky(bad: float, **more: Any) -> dict[str, Any]:
    return {
        "data": {"name": "garbage:images", "args": {"bad": str(bad)}, "batch_size": 16},
        "model": {"name": "mlp", "args": {"hidden": [16]}},
        "policies": [{"name": "loss_spike", "args": MENDS | more}],
        # However long a step takes here: the best so far is kept 10 s after another at the soonest.
        "checkpoint": {"every_seconds": 0, "keep": 5, "keep_best": 0},
    }


def with_checkpoints(daemon: Any) -> Any:
    """Train to the end, each checkpoint on the disk before the step after it runs."""
    while daemon.loop.step < STEPS:
        daemon.loop.advance(1)
        settle(daemon)
    return daemon.finish()


@pytest.fixture
def saves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[int, Any]:
    """Let there be a data set with one sample that is no image, and checkpoints on the way."""
    (tmp_path / "garbage.py").write_text(GARBAGE)
    monkeypatch.syspath_prepend(tmp_path)
    return {step: [SaveCommand(command_id=step)] for step in range(1, STEPS, 3)}


@pytest.mark.parametrize("bad", [float("nan"), 1e4], ids=["nan", "huge"])
def test_a_policy_takes_a_run_back_around_a_bad_batch_and_again_when_it_is_done_again(
    a_run: Any, saves: Any, bad: float
) -> None:
    run = a_run(**spiky(bad))
    daemon = run.begin(saves)
    expected = with_checkpoints(daemon)

    [back] = [one for one in daemon.decisions if one.rollback is not None]
    edit = back.rollback
    after = daemon.decisions[back.revision]
    assert (back.source, edit.policy) == ("rollback", "loss_spike")
    assert (after.source, after.value, after.applied_step) == (
        "policy:loss_spike",
        0.5,
        edit.to_step,
    )
    assert edit.from_step - edit.to_step >= 3
    assert all(torch.isfinite(one).all() for one in expected.values())
    order = StartOrder(decisions=tuple(surviving(daemon.decisions)), steps_done=STEPS, until=STEPS)
    again = a_run(**spiky(bad)).begin({}, order)
    weights = again.finish()
    assert again.losses() == daemon.losses()
    assert all(torch.equal(weights[name], one) for name, one in expected.items())
    assert not again.all(Warned)


def test_a_loss_that_is_not_finite_ends_the_run_where_there_is_no_checkpoint(
    a_run: Any, saves: Any
) -> None:
    daemon = a_run(**spiky(float("nan"))).begin()

    with pytest.raises(NonFiniteLoss) as failed:
        daemon.finish()

    assert "no good checkpoint" in failed.value.__notes__[0]
    [status] = daemon.loop.parts.steering.roster.statuses()
    assert status.outcomes["unrestored"] == 1


def test_where_there_is_no_checkpoint_a_spike_still_cuts_the_lr(a_run: Any, saves: Any) -> None:
    daemon = a_run(**spiky(1e4)).begin()

    daemon.finish()

    assert [one.rollback for one in daemon.decisions if one.value == 0.5] == [None]
    assert daemon.loop.parts.steering.roster.statuses()[0].failure.startswith("there is no good")


def test_a_spec_that_takes_no_checkpoints_to_go_back_to_is_warned_of(
    a_run: Any, saves: Any
) -> None:
    [warning] = a_run(**spiky(1.0)).begin().loop.parts.warnings
    spec = spiky(1.0) | {"checkpoint": {"every": 5}}

    assert "policy loss_spike goes back to checkpoints and none are taken" in warning
    assert a_run(**spec).begin().loop.parts.warnings == ()
