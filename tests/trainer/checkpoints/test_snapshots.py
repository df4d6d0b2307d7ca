"""A run can go back to states in its memory as to checkpoints, and to the last bit."""

import errno
from typing import Any

import pytest
import torch

from rheostat.runs.checkpoints import list_checkpoints
from rheostat.runs.lineage import surviving
from rheostat.runs.messages import (
    Applied,
    ChangeCommand,
    RollbackCommand,
    SaveCommand,
    Saved,
    SaveFailed,
    Telemetry,
)
from rheostat.runs.starting import StartOrder
from rheostat.steering.records import Change, Verb
from rheostat.trainer.checkpoints import files
from rheostat_policies import KEEP

STEPS = 40
SNAPSHOTS = {"every_seconds": 0, "snapshots": {"every": 5, "keep": 3}}
OPTIMIZERS: list[dict[str, Any]] = [
    {"name": "AdamW", "lr": 0.01, "args": {"amsgrad": True}},
    {"name": "schedulefree:AdamWScheduleFree", "lr": 0.01},
    {"name": "LBFGS", "lr": 0.1, "args": {"max_iter": 2}},
]


def scale(number: int, factor: float) -> ChangeCommand:
    return ChangeCommand(command_id=number, change=Change(verb=Verb.SCALE, value=factor))


def back(number: int, steps: int) -> RollbackCommand:
    return RollbackCommand(command_id=number, back_steps=steps)


def steps(run: Any) -> list[int]:
    return [one.step for one in list_checkpoints(run.checkpoints)]


def in_memory(daemon: Any) -> list[int]:
    daemon.loop.report()
    return [one.step for one in daemon.all(Telemetry)[-1].snapshot.in_memory]


def train(daemon: Any) -> dict[str, torch.Tensor]:
    """Train to the end, each checkpoint on the disk before the step after it runs."""
    while daemon.step < STEPS:
        daemon.loop.advance(1)
        daemon.loop._saver._scribe.wait()
    return daemon.finish()


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_by_default_nothing_is_kept_in_memory(a_run: Any) -> None:
    daemon = a_run().begin()

    daemon.finish()

    assert in_memory(daemon) == []


def test_the_newest_states_are_kept_and_shown_and_none_is_on_the_disk(a_run: Any) -> None:
    run = a_run(checkpoint=SNAPSHOTS)
    daemon = run.begin()
    daemon.loop.advance(33)

    assert in_memory(daemon) == [20, 25, 30]
    kept = daemon.all(Telemetry)[-1].snapshot.in_memory
    size = sum(one.nbytes for one in daemon.loop.parts.model.parameters())
    assert all(one.in_memory and not one.path and one.bytes > size for one in kept)
    assert steps(run) == []


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=["adamw", "schedulefree", "lbfgs"])
def test_a_run_that_went_back_to_a_snapshot_ends_as_the_one_that_did_not_go_astray(
    a_run: Any, optimizer: dict[str, Any]
) -> None:
    straight = a_run(optimizer=optimizer).begin({9: [scale(1, 0.5)]}).finish()
    run = a_run(optimizer=optimizer, checkpoint=SNAPSHOTS)
    daemon = run.begin({9: [scale(1, 0.5)], 21: [scale(2, 3.0)], 27: [back(3, 10)]})

    weights = train(daemon)

    assert same(weights, straight)
    [decision] = [one for one in daemon.decisions if one.rollback is not None]
    assert (decision.rollback.from_step, decision.rollback.to_step) == (27, 15)
    [saved] = daemon.all(Saved)
    assert (saved.info.step, saved.info.reason, saved.info.revision) == (15, "rollback", 1)
    assert steps(run) == [15]


def test_snapshots_change_no_bit_of_the_training(a_run: Any) -> None:
    alone = a_run().begin()
    expected = alone.finish()

    daemon = a_run(checkpoint={"snapshots": {"every": 1, "keep": 2}}).begin()

    assert same(daemon.finish(), expected)
    assert daemon.losses() == alone.losses()


def test_what_is_undone_is_forgotten_and_what_is_older_can_still_be_gone_back_to(
    a_run: Any,
) -> None:
    straight = a_run().begin().finish()
    run = a_run(checkpoint=SNAPSHOTS)
    daemon = run.begin({22: [back(1, 5)], 23: [scale(2, 3.0), back(3, 10)]})
    daemon.loop.advance(18)
    assert in_memory(daemon) == [5, 10, 15]

    weights = train(daemon)

    backs = [one.rollback for one in daemon.decisions if one.rollback is not None]
    assert [(one.from_step, one.to_step) for one in backs] == [(22, 15), (23, 10)]
    assert same(weights, straight)


def test_the_newest_that_will_do_is_taken_wherever_it_is(a_run: Any) -> None:
    run = a_run(checkpoint=SNAPSHOTS | {"keep": 5})
    saves = {step: [SaveCommand(command_id=step)] for step in (17, 22)}
    daemon = run.begin({**saves, 24: [back(1, 5)], 25: [back(2, 2)]})

    train(daemon)

    backs = [one.rollback for one in daemon.decisions if one.rollback is not None]
    assert [(one.from_step, one.to_step) for one in backs] == [(24, 17), (25, 20)]
    assert [one.info.reason for one in daemon.all(Saved)] == ["asked", "asked", "rollback"]


@pytest.mark.parametrize("killed_after", [0, 1, 6])
def test_a_trainer_killed_after_going_back_to_a_snapshot_has_a_successor_that_goes_on(
    a_run: Any, killed_after: int
) -> None:
    sections: dict[str, Any] = {"optimizer": OPTIMIZERS[0], "checkpoint": SNAPSHOTS}
    command = RollbackCommand(command_id=7, back_steps=10, skip=3, rewarm_steps=5, scale=0.5)
    plan = {9: [scale(1, 0.5)], 21: [scale(3, 3.0)], 27: [command]}
    expected = train(a_run(**sections).begin(plan))
    run = a_run(**sections)
    daemon = run.begin(plan)
    daemon.loop.advance(27)
    daemon.loop._boundary.cross(0.0)  # the boundary at which it goes back
    for _ in range(killed_after):
        daemon.loop._boundary._is_settled = daemon.step == 15
        daemon.loop.advance(1)
    daemon.loop.report()

    [found] = list_checkpoints(run.checkpoints)
    script = [one for one in surviving(daemon.decisions) if one.revision > found.revision]
    order = StartOrder(checkpoint=found.path, decisions=tuple(script), steps_done=daemon.step)
    successor = run.begin({}, order)

    assert same(train(successor), expected)


def test_a_trainer_killed_before_the_rollback_was_written_down_goes_on_without_it(
    a_run: Any,
) -> None:
    straight = a_run(checkpoint=SNAPSHOTS).begin().finish()
    run = a_run(checkpoint=SNAPSHOTS)
    daemon = run.begin({27: [back(1, 10)]})
    daemon.loop.advance(27)
    daemon.loop._boundary.cross(0.0)

    order = StartOrder(checkpoint=run.newest(), steps_done=27)
    successor = run.begin({}, order)

    assert same(train(successor), straight)


def test_where_the_disk_is_full_an_older_checkpoint_is_gone_back_to_and_that_is_told(
    a_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = a_run(checkpoint=SNAPSHOTS)
    daemon = run.begin({7: [SaveCommand(command_id=1)], 27: [back(2, 10)]})
    daemon.loop.advance(20)
    daemon.loop._saver._scribe.wait()

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "save_file", full)
    daemon.finish()

    [applied] = daemon.all(Applied)
    assert applied.decision.rollback.to_step == 7
    failed = daemon.all(SaveFailed)
    assert (failed[0].step, failed[0].command_id) == (15, None)
    assert "No space left" in failed[0].message


def test_a_policy_whose_state_cannot_be_kept_is_told_once(a_run: Any) -> None:
    run = a_run(policies=[{"name": "loss_spike"}], checkpoint=SNAPSHOTS)
    daemon = run.begin()
    policy = daemon.loop.parts.steering.roster.policies[0]
    policy.state = {**policy.state, "set": {1}}
    policy._decide = lambda state, observation: (KEEP, state)

    daemon.finish()

    [failed] = daemon.all(SaveFailed)
    assert "state of policy loss_spike" in failed.message
    assert in_memory(daemon) == []


# --- policies ------------------------------------------------------------------------------------

SPIKY = """
from rheostat_policies import Action, KEEP, Restore


class Returns:
    def __init__(self, *, at=(), back_steps=1):
        self.at, self.back_steps = at, back_steps

    def initial_state(self, run):
        return {"done": 0}

    def decide(self, state, observation):
        if state["done"] < len(self.at) and observation.step == self.at[state["done"]]:
            restore = Restore(back_steps=self.back_steps)
            return Action(factor=0.5, restore=restore), {"done": state["done"] + 1}
        return KEEP, state
"""


@pytest.fixture
def returns(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let there be a policy that goes back at certain steps."""
    (tmp_path / "returning_policy.py").write_text(SPIKY)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "returning_policy:Returns"


def test_a_policy_goes_back_to_a_snapshot(a_run: Any, returns: str) -> None:
    policies = [{"name": returns, "args": {"at": [22], "back_steps": 3}}]
    run = a_run(policies=policies, checkpoint=SNAPSHOTS)
    daemon = run.begin()

    expected = train(daemon)

    [edit] = [one.rollback for one in daemon.decisions if one.rollback is not None]
    assert (edit.from_step, edit.to_step) == (23, 20)
    assert daemon.loop.parts.warnings == ()
    order = StartOrder(decisions=tuple(surviving(daemon.decisions)), steps_done=STEPS, until=STEPS)
    assert same(a_run(policies=policies).begin({}, order).finish(), expected)


@pytest.mark.parametrize("killed_at", [13, 17, 21])
@pytest.mark.parametrize("back_steps", [2, 9])
def test_a_policy_goes_back_to_the_same_step_in_a_trainer_that_has_lost_its_memory(
    a_run: Any, returns: str, killed_at: int, back_steps: int
) -> None:
    sections: dict[str, Any] = {
        "policies": [{"name": returns, "args": {"at": [22], "back_steps": back_steps}}],
        "checkpoint": {"every": 12, "keep": 5, "snapshots": {"every": 5, "keep": 4}},
    }
    alone = a_run(**sections).begin()
    expected = train(alone)
    run = a_run(**sections)
    daemon = run.begin()
    while daemon.step < killed_at:
        daemon.loop.advance(1)
        daemon.loop._saver._scribe.wait()
    order = StartOrder(checkpoint=run.newest(), steps_done=killed_at)
    successor = run.begin({}, order)

    weights = train(successor)
    edits = [
        [one.rollback.to_step for one in some.decisions if one.rollback is not None]
        for some in (alone, successor)
    ]
    assert edits[0] == edits[1] == [20 if back_steps == 2 else 12]
    assert same(weights, expected)
