"""When checkpoints are taken, what is told of them, and what becomes of those that fail."""

import errno
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import torch
from safetensors.torch import load_file

from rheostat.runs.checkpoints import (
    MANIFEST_FILE,
    BadCheckpoint,
    list_checkpoints,
    measure,
    read_manifest,
    verify,
)
from rheostat.runs.messages import (
    Applied,
    ChangeCommand,
    EvaluateCommand,
    Evaluated,
    PauseCommand,
    Paused,
    ResumeCommand,
    SaveCommand,
    Saved,
    SaveFailed,
    StopCommand,
)
from rheostat.runs.starting import StartOrder
from rheostat.spec.models import CheckpointSpec
from rheostat.steering.records import Change, Verb
from rheostat.trainer.checkpoints import due, files, publishing
from rheostat_policies import KEEP

STEPS = 40


def steps(run: Any) -> list[int]:
    return [one.step for one in list_checkpoints(run.checkpoints)]


# --- when --------------------------------------------------------------------------------------


def test_by_default_the_clock_takes_them_and_a_short_run_takes_none(
    a_run: Any, monkeypatch: Any
) -> None:
    assert CheckpointSpec().seconds == 60
    assert CheckpointSpec(every=10).seconds is None
    assert CheckpointSpec(every=10, every_seconds=5).seconds == 5
    assert CheckpointSpec(every_seconds=0).seconds is None
    # However long this machine takes for it.
    monkeypatch.setattr(due, "time", SimpleNamespace(perf_counter=lambda: 0.0))
    run = a_run(checkpoint={})

    run.begin().finish()

    assert steps(run) == []


def test_every_so_many_steps_and_the_newest_are_kept(a_run: Any) -> None:
    run = a_run(checkpoint={"every": 5, "keep": 2, "keep_best": 0}, train={"steps": 40})
    daemon = run.begin()
    for step in range(0, 40, 5):
        daemon.loop.advance(5)
        settle(daemon)
        assert daemon.step == step + 5
    daemon.finish()

    saved = [message.info for message in daemon.all(Saved)]
    assert len(saved) > 2
    assert {one.reason for one in saved} == {"every"}
    assert steps(run) == [one.step for one in saved[-2:]]


def settle(daemon: Any) -> None:
    """Wait until what is being written is on the disk."""
    while daemon.loop._saver.is_busy:
        time.sleep(0.005)


def test_every_so_many_seconds(a_run: Any) -> None:
    run = a_run(checkpoint={"every_seconds": 1e-9, "keep_best": 0})
    daemon = run.begin()
    for _ in range(10):
        daemon.loop.advance(2)
        settle(daemon)
    daemon.finish()

    assert len(daemon.all(Saved)) > 1
    assert len(steps(run)) == 2


def test_the_best_so_far_is_taken_and_kept(a_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due, "BEST_SECONDS", 0.0)
    run = a_run(checkpoint={"every_seconds": 0, "keep": 1, "keep_best": 1}, evaluate={"every": 4})
    daemon = run.begin()
    for _ in range(10):
        daemon.loop.advance(4)
        settle(daemon)
        daemon.loop._saver.look(daemon.loop.progress, daemon.loop._gather)
    daemon.finish()

    saved = [message.info for message in daemon.all(Saved)]
    assert {one.reason for one in saved} == {"best"}
    measured = [one for one in list_checkpoints(run.checkpoints) if one.validation_loss is not None]
    assert min(one.validation_loss for one in measured) == min(
        one.validation_loss for one in saved if one.validation_loss is not None
    )


def test_one_that_is_asked_for_is_answered_with_its_place(a_run: Any) -> None:
    run = a_run()
    daemon = run.begin({7: [SaveCommand(command_id=3, pin=True)]})

    daemon.loop.advance(10)
    settle(daemon)
    daemon.loop.advance(1)

    [saved] = daemon.all(Saved)
    assert (saved.command_id, saved.info.step, saved.info.reason) == (3, 7, "asked")
    assert saved.info.pinned
    assert verify(Path(saved.info.path)).step == 7
    assert 0 < saved.stalled < saved.seconds


def test_asking_while_one_is_being_written_waits(
    a_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = publishing.write_state

    def slowly(*args: Any, **fields: Any) -> Any:
        time.sleep(0.2)
        return write(*args, **fields)

    monkeypatch.setattr(publishing, "write_state", slowly)
    run = a_run()
    asks = {3: [SaveCommand(command_id=1)], 4: [SaveCommand(command_id=2)]}
    daemon = run.begin({**asks, 20: [StopCommand()]})

    daemon.finish()

    first, second, last = daemon.all(Saved)
    assert [first.command_id, second.command_id, last.command_id] == [1, 2, None]
    assert (first.info.step, last.info.step, last.info.reason) == (3, 20, "stop")


def test_a_paused_run_takes_one_and_more_if_asked(a_run: Any) -> None:
    change = ChangeCommand(command_id=1, change=Change(verb=Verb.SCALE, value=0.5))
    script = iter([[PauseCommand()], [], [change], [SaveCommand(command_id=2)], [], []])
    run = a_run()
    daemon = run.begin()
    daemon.loop.advance(5)

    def receive(timeout: float = 0.0) -> list[Any]:
        settle(daemon)
        return next(script, [ResumeCommand()])

    daemon.receive = receive
    daemon.loop.advance(3)

    at_pause, asked = daemon.all(Saved)
    assert daemon.all(Paused)[0].step == 5
    assert (at_pause.info.reason, at_pause.info.step, at_pause.info.revision) == ("pause", 5, 0)
    assert (asked.info.reason, asked.info.step, asked.info.revision) == ("asked", 5, 1)
    assert steps(run) == [5], "the later of the same step has taken its place"


def test_a_run_that_is_stopped_goes_on_later_where_it_stopped(a_run: Any) -> None:
    alone = a_run().begin()
    expected = alone.finish()
    run = a_run()
    stopped = run.begin({23: [StopCommand()]})
    stopped.finish()
    assert steps(run) == [23]

    went_on = run.begin(order=run.order_after(stopped))
    last = went_on.finish()

    assert all(torch.equal(last[name], expected[name]) for name in last)
    assert {**stopped.losses(), **went_on.losses()} == alone.losses()


def test_a_command_after_the_last_step_is_told_that_it_is_over(a_run: Any) -> None:
    run = a_run(train={"steps": 6})
    daemon = run.begin()
    daemon.loop._saver.ask(SaveCommand(command_id=9))
    daemon.loop.progress.step = 6

    daemon.finish()

    [failed] = daemon.all(SaveFailed)
    assert failed.command_id == 9
    assert "the run has come to its end after 6 steps" in failed.message


# --- what a look costs nobody ------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["SGD", "schedulefree:AdamWScheduleFree"])
def test_neither_saving_nor_evaluating_changes_a_bit_of_the_training(
    a_run: Any, optimizer: str
) -> None:
    spec = {
        "optimizer": {"name": optimizer, "lr": 0.05},
        "policies": [{"name": "plateau", "args": {"patience": 0}}],
    }
    left_alone = a_run(**spec).begin()
    expected = left_alone.finish()
    looks = {
        step: [SaveCommand(command_id=step), EvaluateCommand(command_id=100 + step)]
        for step in range(2, 38, 3)
    }

    looked_at = a_run(**spec, checkpoint={"every_seconds": 1e-9}).begin(looks)
    last = looked_at.finish()

    assert looked_at.losses() == left_alone.losses()
    assert all(torch.equal(last[name], expected[name]) for name in last)
    assert len(looked_at.all(Evaluated)) == len(looks)
    assert looked_at.all(Saved)


def test_evaluating_now_answers_with_what_a_validation_there_would_find(a_run: Any) -> None:
    daemon = a_run().begin({14: [EvaluateCommand(command_id=4)]})

    daemon.finish()

    [found] = daemon.all(Evaluated)
    assert (found.command_id, found.step) == (4, 14)
    assert found.validation_loss == daemon.validations()[14]
    assert found.validation_accuracy is not None


# --- failures ----------------------------------------------------------------------------------


def test_a_full_disk_is_told_and_the_run_and_the_older_ones_are_as_they_were(
    a_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = a_run().begin()
    expected = alone.finish()
    run = a_run()
    asks = {step: [SaveCommand(command_id=step)] for step in (5, 15)}
    daemon = run.begin(asks)
    daemon.loop.advance(10)
    settle(daemon)

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "save_file", full)
        daemon.loop.advance(10)
        settle(daemon)
    last = daemon.finish()

    [failed] = daemon.all(SaveFailed)
    assert (failed.command_id, failed.step) == (15, 15)
    assert "No space left on device" in failed.message
    assert steps(run) == [5]
    assert [path.name for path in run.checkpoints.iterdir()] == ["step-000000000005"]
    assert all(torch.equal(last[name], expected[name]) for name in last)


def test_what_a_killed_writer_left_is_swept_away(a_run: Any) -> None:
    run = a_run()
    left = run.checkpoints / ".step-000000000005.partial"
    left.mkdir(parents=True)
    (left / "model.safetensors").write_bytes(b"half")

    run.begin()

    assert not left.exists()


def test_a_checkpoint_comes_back_that_a_killed_writer_was_replacing(a_run: Any) -> None:
    run = a_run()
    _, order = run.interrupt(5)
    place = Path(order.checkpoint)
    place.rename(place.with_name(f".{place.name}.replaced"))

    run.begin()

    assert steps(run) == [5]


def test_a_damaged_checkpoint_is_not_gone_on_from(a_run: Any) -> None:
    run = a_run()
    _, order = run.interrupt(5)
    file = Path(order.checkpoint) / "optimizer.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)

    with pytest.raises(BadCheckpoint, match=r"optimizer\.safetensors is damaged"):
        run.begin(order=order)


def test_a_checkpoint_of_another_spec_is_not_gone_on_from(a_run: Any) -> None:
    _, order = a_run().interrupt(5)

    with pytest.raises(BadCheckpoint, match="is of a run with another spec"):
        a_run(train={"seed": 1}).begin(order=order)


def test_a_policy_whose_state_cannot_be_kept_is_told_once_and_to_whoever_asks(
    a_run: Any,
) -> None:
    run = a_run(policies=[{"name": "loss_spike"}], checkpoint={"every": 1})
    daemon = run.begin({9: [SaveCommand(command_id=5)]})
    policy = daemon.loop.parts.steering.roster.policies[0]
    policy.state = {**policy.state, "set": {1}}
    policy._decide = lambda state, observation: (KEEP, state)

    daemon.finish()

    first, second = daemon.all(SaveFailed)
    assert "state of policy loss_spike" in first.message
    assert (first.command_id, second.command_id) == (None, 5)
    assert steps(run) == []


# --- what is in one ----------------------------------------------------------------------------


def test_a_checkpoint_is_plain_files_that_anybody_can_read(a_run: Any) -> None:
    run = a_run(optimizer={"name": "Adam", "lr": 0.01})
    _, order = run.interrupt(5)
    folder = Path(order.checkpoint)
    alone = a_run(optimizer={"name": "Adam", "lr": 0.01}).begin()
    alone.loop.advance(5)

    model = load_file(folder / "model.safetensors")
    state = json.loads((folder / "state.json").read_text())

    own = alone.loop.parts.model.state_dict()
    assert model.keys() == own.keys()
    assert all(torch.equal(model[name], own[name]) for name in model)
    assert state["progress"]["step"] == 5
    assert state["steering"]["groups"][0]["learning_rate"] == 0.01
    assert sorted(path.name for path in folder.iterdir()) == [
        "loop.safetensors",
        "manifest.json",
        "model.safetensors",
        "optimizer.safetensors",
        "state.json",
        "unacknowledged.msgpack",
    ]


def test_the_lr_after_a_load_is_what_steering_says_and_the_log_says_both(
    a_run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run = a_run()
    change = ChangeCommand(command_id=1, change=Change(verb=Verb.SCALE, value=0.25))
    _, order = run.interrupt(5, {7: [change]})
    assert [one.revision for one in order.decisions] == [1]

    went_on = run.begin(order=order)
    group = went_on.loop.parts.optimizer.param_groups[0]
    group["lr"] = 123.0  # whatever a state dict may have brought
    went_on.loop.advance(4)

    assert group["lr"] == 0.1 * 0.25
    assert went_on.decisions == []
    log = capsys.readouterr().out
    assert "attempt 2 goes on at step 5 from" in log
    assert "decisions 1 to 1 are newer and take precedence" in log
    assert "nothing new is decided before step 8" in log
    assert "the LR of group default is 0.1, as steering says" in log


def test_what_is_asked_while_steps_are_made_again_waits_for_the_first_new_one(a_run: Any) -> None:
    run = a_run()
    _, order = run.interrupt(5)
    order = msgspec.structs.replace(order, steps_done=12)
    change = ChangeCommand(command_id=7, change=Change(verb=Verb.SCALE, value=0.5))

    went_on = run.begin({6: [change]}, order)
    went_on.loop.advance(20)

    [applied] = went_on.all(Applied)
    assert (applied.command_id, applied.decision.applied_step) == (7, 12)


def test_a_run_without_a_checkpoint_is_made_again_from_its_first_step(a_run: Any) -> None:
    change = ChangeCommand(command_id=1, change=Change(verb=Verb.SCALE, value=0.5))
    commands = {6: [change]}
    alone = a_run().begin(commands)
    expected = alone.finish()
    run = a_run()
    killed = run.begin(commands)
    killed.loop.advance(20)

    order = StartOrder(attempt=2, decisions=tuple(killed.decisions), steps_done=20)
    went_on = run.begin(order=order)
    last = went_on.finish()

    assert all(torch.equal(last[name], expected[name]) for name in last)
    assert went_on.losses() == alone.losses()


# --- of another time ---------------------------------------------------------------------------


def test_a_checkpoint_of_the_first_schema_is_gone_on_from_to_the_same_weights(a_run: Any) -> None:
    run = a_run(train={"steps": STEPS})
    alone = run.begin().finish()
    _, order = run.interrupt(at=20)
    path = Path(order.checkpoint)
    plain = json.loads((path / files.STATE_FILE).read_text())
    for added in ("loss_scale", "others"):
        del plain[added]
    (path / files.STATE_FILE).write_text(json.dumps(plain))
    manifest = read_manifest(path)
    measured = {**manifest.files, files.STATE_FILE: measure(path / files.STATE_FILE)}
    old = msgspec.structs.replace(manifest, schema_version=1, files=measured)
    (path / MANIFEST_FILE).write_bytes(msgspec.json.encode(old))

    weights = run.begin(order=order).finish()

    assert all(torch.equal(weights[name], alone[name]) for name in alone)


def test_a_checkpoint_of_the_second_schema_is_read(a_run: Any) -> None:
    run = a_run()
    _, order = run.interrupt(at=5)
    path = Path(order.checkpoint)
    second = msgspec.structs.replace(read_manifest(path), schema_version=2)
    (path / MANIFEST_FILE).write_bytes(msgspec.json.encode(second))

    daemon = run.begin(order=order)

    assert daemon.step == 5
