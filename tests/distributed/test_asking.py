"""What operators ask of a run is the same for two processes as for one."""

import pytest
from tests.distributed.ranks import train

from rheostat.runs.messages import (
    Applied,
    ChangeCommand,
    EvaluateCommand,
    Evaluated,
    Failed,
    Finished,
    PauseCommand,
    ProbeCommand,
    Probed,
    ResumeCommand,
    RollbackCommand,
    SaveCommand,
    Saved,
    StopCommand,
)
from rheostat.steering.records import Change, Verb
from rheostat.trainer.distributed import gang

SPEC = {
    "model": {"name": "mlp", "args": {"hidden": [16]}},
    "data": {"batch_size": 64},
    "optimizer": {"name": "AdamW", "lr": 0.01},
    "schedule": {"name": "cosine"},
    "policies": [{"name": "greedy", "args": {"patience": 3}}],
    "train": {"steps": 120, "device": "cpu"},
    "evaluate": {"every": 30},
    "checkpoint": {"every_seconds": 0, "keep": 9},
}
WORD_SECONDS = 6.0


def impatient(rank):
    """Have ranks wait for words no longer than some seconds."""
    gang.WORD_SECONDS = WORD_SECONDS


def scale(value, number=1):
    return ChangeCommand(command_id=number, change=Change(verb=Verb.SCALE, value=value))


def decided(told):
    return [(one.revision, one.applied_step, one.source, one.groups) for one in told.decisions]


def test_pause_evaluate_save_probe_change_and_rollback_do_what_they_do_with_one_process(tmp_path):
    commands = {
        20: [SaveCommand(command_id=1)],
        35: [PauseCommand()],
        50: [ProbeCommand(command_id=2, learning_rates=(0.1, 0.001, 1e6), steps=4)],
        60: [scale(0.5, 3)],
        80: [RollbackCommand(command_id=4, step=30, skip=2, scale=0.8)],
    }
    # Paused for longer than a rank waits for a word.
    later = [
        EvaluateCommand(command_id=5),
        SaveCommand(command_id=6),
        scale(0.9, 7),
        ResumeCommand(),
    ]

    told = [
        train(
            tmp_path / str(size),
            SPEC,
            size,
            commands,
            later=later,
            seconds=2.5 if size > 1 else 0.3,
            before=impatient,
        )
        for size in (1, 2)
    ]

    alone, together = told
    assert isinstance(together.last, Finished), together.last
    assert together.codes == {0: 0, 1: 0}
    assert decided(together) == decided(alone)
    for column in ("train_loss", "validation_loss"):
        assert together.column(column) == pytest.approx(alone.column(column), rel=1e-4)
    for kind, values in (
        (Evaluated, lambda one: [one.validation_loss, one.validation_accuracy]),
        (Probed, lambda one: [loss for losses in one.losses for loss in losses][:8]),
        (Saved, lambda one: [one.info.step]),
    ):
        there, here = together.all(kind), alone.all(kind)
        assert len(there) == len(here) > 0
        for one, other in zip(there, here, strict=True):
            assert values(one) == pytest.approx(values(other), rel=1e-4)
    assert len(together.all(Applied)) == 3


def test_a_run_of_two_processes_that_is_stopped_validates_saves_and_ends(tmp_path):
    told = train(tmp_path, SPEC, 2, {25: [StopCommand()]})

    assert told.codes == {0: 0, 1: 0}
    assert told.last.stopped
    assert [one.info.step for one in told.all(Saved)] == [25]
    assert list(told.column("validation_loss")) == [25]


def test_a_loss_that_is_not_finite_anywhere_stops_all_before_the_update(tmp_path):
    spec = SPEC | {"optimizer": {"name": "SGD", "lr": 1e12}, "guardrails": {"max_lr": 1e13}}

    told = train(tmp_path, spec, 2)

    assert told.codes == {0: 0, 1: 0}
    assert isinstance(told.last, Failed)
    assert told.last.failure.kind == "NonFiniteLoss"
    assert (tmp_path / "model.safetensors").exists()


def use_other_rates(rank):
    """Let rank 1 write LRs of its own from the 40th on."""
    from rheostat.trainer.distributed import following

    class Astray(following.Actuator):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self._count = 0

        def write(self, learning_rates):
            self._count += 1
            astray = self._count > 40
            super().write([lr * (1.5 if astray else 1.0) for lr in learning_rates])

    following.Actuator = Astray


def test_a_rank_that_uses_other_rates_is_found_out(tmp_path):
    told = train(tmp_path, SPEC, 2, before=use_other_rates)

    assert isinstance(told.last, Failed)
    assert told.last.failure.kind == "RatesDiffer"
    assert "rank 1 took the step of batch 40 with the LRs" in told.last.failure.message


def test_no_checkpoint_is_taken_of_ranks_that_used_other_rates(tmp_path):
    told = train(tmp_path, SPEC, 2, {50: [SaveCommand(command_id=1)]}, before=use_other_rates)

    assert told.last.failure.kind == "RatesDiffer"
    assert not list((tmp_path / "checkpoints").glob("step-*"))


def fail_on_rank_1(rank):
    """Let rank 1 run out of something in its steps."""
    from rheostat.trainer.distributed import following

    def fail(self, *args):
        raise MemoryError("rank 1 has no room")

    following.Learner.learn = fail if rank == 1 else following.Learner.learn


def test_why_another_rank_failed_is_told_by_rank_0(tmp_path):
    told = train(tmp_path, SPEC, 2, before=fail_on_rank_1)

    assert told.codes[1] == 1
    assert told.last.failure.kind == "MemoryError"
    assert told.last.failure.message == "rank 1: MemoryError: rank 1 has no room"
    assert "Traceback" in told.last.failure.traceback
