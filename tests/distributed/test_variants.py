"""What a spec says of how to train means the same for two processes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.distributed.ranks import train

from rheostat.runs.messages import EvaluateCommand, ProbeCommand, Probed
from rheostat.trainer.data.records import IGNORED
from rheostat.trainer.distributed.portions import Portion

SPEC = {
    "model": {"name": "mlp", "args": {"hidden": [16]}},
    "data": {"batch_size": 51},
    "optimizer": {"name": "AdamW", "lr": 0.01},
    "schedule": {"name": "cosine"},
    "policies": [{"name": "loss_spike"}],
    "train": {"steps": 30, "device": "cpu"},
    "evaluate": {"every": 15},
}
VARIANTS = {
    "losses that are read two steps later": {"train": {"telemetry_lag": 2}},
    "images that chance has moved": {"data": {"augment": {"crop": 1, "flip": True}}},
    "bfloat16 in micro-batches": {"train": {"precision": "bfloat16", "accumulate": 3}},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_two_processes_have_the_losses_of_one(tmp_path, variant):
    spec = dict(SPEC)
    for section, values in VARIANTS[variant].items():
        spec[section] = {**spec[section], **values}
    commands = {
        10: [ProbeCommand(command_id=1, learning_rates=(0.001,), steps=2)],
        12: [EvaluateCommand(command_id=2)],
    }

    alone, together = (train(tmp_path / str(size), spec, size, commands) for size in (1, 2))

    assert together.codes == {0: 0, 1: 0}, together.last
    exact = 1e-3 if "bfloat16" in str(spec) else 1e-5
    for column in ("train_loss", "validation_loss"):
        assert together.column(column) == pytest.approx(alone.column(column), rel=20 * exact)
    [here], [there] = alone.all(Probed), together.all(Probed)
    assert there.losses[0] == pytest.approx(here.losses[0], rel=20 * exact)


def test_an_optimizer_that_runs_the_model_itself_sees_the_loss_of_the_whole_batch(tmp_path):
    """LBFGS compares losses to say where to go; on batches, what is lost in a last bit grows."""
    optimizer = {"name": "LBFGS", "lr": 0.02, "args": {"max_iter": 3}}
    spec = SPEC | {"optimizer": optimizer, "train": SPEC["train"] | {"steps": 8}}

    alone, together = (train(tmp_path / str(size), spec, size) for size in (1, 2))

    assert together.column("train_loss") == pytest.approx(alone.column("train_loss"), rel=1e-3)


class Summed:
    """Ranks of which the test knows all."""

    def __init__(self, total, world_size):
        self.world_size = world_size
        self._total = total

    def add_up(self, tensor):
        tensor.fill_(self._total)
        return self

    def wait(self):
        return None


@given(
    st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=3), min_size=1, max_size=4),
    st.integers(5, 8),
)
def test_tokens_weigh_the_same_on_whichever_rank_they_are(ranks, length):
    """Each rank has micro-batches of one sample, with so many known tokens."""

    def sample(tokens):
        return torch.tensor([[1] * tokens + [IGNORED] * (length - tokens)])

    total = sum(map(sum, ranks))
    averaged = 0.0
    for own in ranks:
        portion = Portion(Summed(total, len(ranks)), batch_size=sum(map(len, ranks)))
        portion.begin_batch(torch.cat([sample(tokens) for tokens in own]))
        for tokens in own:
            share = float(portion.share_of(sample(tokens)))
            assert share == pytest.approx(tokens * len(ranks) / total)
            averaged += share / len(ranks)

    assert averaged == pytest.approx(1.0)
