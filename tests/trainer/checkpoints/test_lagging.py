"""What steps measure may reach the host steps later: the run is the same, and is told as it was."""

import math
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from rheostat.errors import InvalidSpec
from rheostat.runs.messages import SaveCommand, SaveFailed, Telemetry
from rheostat.spec.models import Spec
from rheostat.trainer.building import build
from rheostat.trainer.learning import NonFiniteLoss

STEPS = 40
LAG = 3
BAD = 17
"""The step whose batch has no finite loss, where a test wants one."""

PLUGIN = """
import math

import torch
from torch.utils.data import Dataset

from rheostat_policies import KEEP

SEEN = []


class Watcher:
    observes = ("gradient_norm", "gradient_alignment", "group_gradient_norm")

    def initial_state(self, run):
        SEEN.clear()
        return {"losses": []}

    def decide(self, state, observation):
        SEEN.append(observation)
        return KEEP, {"losses": [*state["losses"], observation.train_loss]}


class Batches(Dataset):
    classes = 3

    def __init__(self, bad):
        generator = torch.Generator().manual_seed(0)
        self.inputs = torch.randn(640, 8, generator=generator)
        self.targets = torch.randint(0, 3, (640,), generator=generator)
        if bad:
            self.inputs[:] = math.inf

    def __len__(self):
        return 640

    def __getitem__(self, index):
        return self.inputs[index], int(self.targets[index])
"""


@pytest.fixture(autouse=True)
def _plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lag_plugin.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)


def spec_of(lag: int, **sections: Any) -> dict[str, Any]:
    train = {"steps": STEPS, "telemetry_lag": lag, **sections.pop("train", {})}
    return {"optimizer": {"name": "AdamW", "lr": 0.01}, "train": train, **sections}


def poison(daemon: Any, step: int = BAD) -> None:
    """Make a batch whose loss is not finite."""
    batches = daemon.loop.parts.batches
    deal = batches.batch

    def batch(at: int) -> Any:
        inputs, targets = deal(at)
        return (inputs * math.inf if at == step else inputs), targets

    batches.batch = batch


def rows(daemon: Any) -> list[tuple[int, int]]:
    """Return first step and number of steps of each batch of rows that was told."""
    told = [one.rows for one in daemon.all(Telemetry) if one.rows is not None]
    return [(one.first_step, one.count) for one in told if one.count]


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"optimizer": {"name": "SGD", "lr": 0.1, "args": {"momentum": 0.9}}},
        {"train": {"precision": "float16", "accumulate": 2, "grad_clip": 1.0}},
    ],
    ids=["AdamW", "SGD", "float16"],
)
def test_a_lag_changes_no_loss_and_no_weight(a_run: Any, sections: dict[str, Any]) -> None:
    at_once, later = (
        a_run(**spec_of(0, **sections)).begin(),
        a_run(**spec_of(LAG, **sections)).begin(),
    )

    weights, others = at_once.finish(), later.finish()

    assert later.losses() == at_once.losses()
    assert list(later.losses()) == list(range(STEPS))
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert later.column("learning_rate") == at_once.column("learning_rate")
    first = [rows_of[0] for rows_of in rows(later)]
    ends = [first_step + count for first_step, count in rows(later)]
    assert first == [0, *ends[:-1]], "no row is told twice, and none is left out"
    norms = [
        {
            step: norm
            for one in daemon.all(Telemetry)
            if one.rows
            for step, norm in one.rows.gradient_norm.items()
        }
        for daemon in (at_once, later)
    ]
    assert norms[0] == norms[1]


def test_policies_see_each_step_once_with_its_own_lr_and_gradients_and_so_much_later(
    a_run: Any,
) -> None:
    import lag_plugin

    seen = []
    for lag in (0, LAG):
        daemon = a_run(
            **spec_of(lag, train={"accumulate": 2}),
            policies=[{"name": "lag_plugin:Watcher"}],
            schedule={"name": "linear"},
        ).begin()
        daemon.loop.advance(STEPS)
        seen.append(list(lag_plugin.SEEN))
        assert [one.step for one in seen[-1]] == list(range(STEPS - 1 - lag))

    for at_once, later in zip(*seen, strict=False):
        same = ("train_loss", "gradient_norm", "gradient_alignment", "group_gradient_norm")
        assert [getattr(later, name) for name in same] == [getattr(at_once, name) for name in same]
        assert later.learning_rate == at_once.learning_rate
        assert later.base == at_once.base


def test_a_loss_that_is_not_finite_is_noticed_later_and_changed_no_weight(a_run: Any) -> None:
    before = a_run(**spec_of(LAG)).begin()
    before.loop.advance(BAD)
    expected = {name: one.clone() for name, one in before.loop.parts.model.state_dict().items()}
    daemon = a_run(**spec_of(LAG)).begin()
    poison(daemon)

    with pytest.raises(NonFiniteLoss, match=f"at step {BAD}, noticed {LAG + 1} steps") as failed:
        daemon.loop.run()

    assert failed.value.step == BAD
    assert daemon.step == BAD + LAG + 1
    weights = daemon.loop.parts.model.state_dict()
    assert all(torch.equal(weights[name], one) for name, one in expected.items())
    daemon.loop.report()
    losses = daemon.losses()
    assert list(losses) == list(range(BAD + LAG + 1))
    assert math.isnan(losses[BAD])


def test_one_in_the_last_steps_is_noticed_before_the_run_ends(a_run: Any) -> None:
    daemon = a_run(**spec_of(LAG)).begin()
    poison(daemon, STEPS - 1)

    with pytest.raises(NonFiniteLoss, match=f"at step {STEPS - 1}"):
        daemon.loop.run()


def test_nothing_is_kept_of_a_run_that_is_about_to_fail(a_run: Any) -> None:
    daemon = a_run(**spec_of(LAG)).begin({BAD + 2: [SaveCommand(command_id=1)]})
    poison(daemon)

    with pytest.raises(NonFiniteLoss):
        daemon.loop.run()

    daemon.loop.report(after=daemon.loop._boundary.news())
    [refused] = daemon.all(SaveFailed)
    assert f"step {BAD}" in refused.message


def test_a_policy_takes_a_run_back_around_a_batch_that_was_noticed_later(a_run: Any) -> None:
    mends = {"back_steps": 3, "warmup_steps": 3, "threshold": 1e9, "hold_steps": 4, "ramp_steps": 4}
    daemon = a_run(
        **spec_of(LAG),
        policies=[{"name": "loss_spike", "args": mends}],
        checkpoint={"every_seconds": 0, "keep": 5},
    ).begin({step: [SaveCommand(command_id=step)] for step in range(1, STEPS, 3)})
    poison(daemon)
    while daemon.step < STEPS:
        daemon.loop.advance(1)
        while daemon.loop._saver.is_busy:
            time.sleep(0.01)

    weights = daemon.finish()

    [back] = [one.rollback for one in daemon.decisions if one.rollback is not None]
    assert back.from_step == BAD + LAG + 1
    assert back.to_step <= BAD
    assert back.to_step + back.skip >= BAD + 1, "its batch is left out"
    assert all(torch.isfinite(one).all() for one in weights.values())
    assert all(
        math.isfinite(loss) for step, loss in daemon.losses().items() if step >= back.to_step
    )


def test_an_optimizer_that_cannot_leave_an_update_out_by_itself_is_refused() -> None:
    for optimizer in ({"name": "RMSprop"}, {"args": {"fused": False}}):
        spec = spec_of(LAG, optimizer=optimizer, train={"device": "cpu"})

        with pytest.raises(InvalidSpec, match="telemetry_lag = 3: 0: only a fused"):
            build(Spec.model_validate(spec), "run")


def test_on_a_cpu_nothing_lags_unless_it_is_asked_for(a_run: Any) -> None:
    assert a_run(optimizer={"name": "AdamW"}).begin().loop.parts.lag == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_step_on_a_cuda_device_never_waits_for_it(a_run: Any, precision: str) -> None:
    daemon = a_run(
        optimizer={"name": "AdamW", "lr": 0.01},
        train={"steps": 60, "device": "cuda", "precision": precision, "grad_clip": 1.0},
        schedule={"name": "linear"},
        policies=[{"name": "hypergradient"}],
        evaluate={"every": 1000},
    ).begin()
    assert daemon.loop.parts.lag > 0
    daemon.loop.advance(10)
    torch.cuda.set_sync_debug_mode("error")
    try:
        daemon.loop.advance(45)  # two epochs end in them
    finally:
        torch.cuda.set_sync_debug_mode("default")

    assert daemon.loop.run().steps == 60
