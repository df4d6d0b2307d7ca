"""Probes of living runs: they find something, and leave no trace."""

import csv
import threading
import time

import pytest

from rheostat.errors import FailedPrecondition
from rheostat.runs.records import Phase

STEPS = 2000


def losses_of(daemon, run, file):
    daemon.rheostat("runs", "export", run, file, check=True)
    with file.open(newline="") as stream:
        return [row["train_loss"] for row in csv.DictReader(stream)]


def test_a_probed_run_ends_as_one_that_nobody_has_probed(daemon, tmp_path):
    train = {"steps": STEPS}
    alone = daemon.create(name="alone", train=train)
    alone.end()
    probed = daemon.create(name="probed", train=train)
    probed.reach(Phase.RUNNING)
    found = daemon.client.probe_learning_rates("probed", [1e-5, 1e-3, 1e-2, 1e3], steps=30)
    assert probed.end().phase is Phase.SUCCEEDED

    assert found.step < STEPS
    assert found.trials[0].losses[0] == found.trials[1].losses[0]
    assert found.trials[3].guardrails == ("max_lr",)
    assert probed.history == []
    told = {event.kind: event.message for event in probed.view.events}
    assert "tester@here tried 4 LRs, 1e-05 to 1000, for 30 steps each" in told["probed"]
    losses = losses_of(daemon, "probed", tmp_path / "probed.csv")
    assert losses == losses_of(daemon, "alone", tmp_path / "alone.csv")
    assert len(losses) == STEPS


def test_a_stop_does_not_wait_for_a_probe(daemon, tmp_path):
    with daemon.training(name="impatient", model={"name": "mlp", "args": {"hidden": [512]}}) as run:
        stopper = threading.Timer(0.3, run.stop)
        stopper.start()
        began = time.monotonic()
        with pytest.raises(FailedPrecondition, match="stopped before"):
            daemon.client.probe_learning_rates("impatient", [1e-4] * 32, steps=312)
        stopper.join()

        assert time.monotonic() - began < 20
        assert run.end().phase is Phase.STOPPED


def test_the_command_suggests_an_lr_and_draws_it(daemon, tmp_path):
    file = tmp_path / "probe.png"
    with daemon.training(name="asked") as run:
        done = daemon.rheostat("lr", "probe", "asked", "--steps", 10, "--plot", file)
        assert done.returncode == 0, done.stderr
        assert "as if nothing had been tried" in done.stdout
        assert file.stat().st_size > 10_000
        run.change("scale", 0.5)
