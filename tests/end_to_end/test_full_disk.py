"""A disk that is full: the run goes on, what must be written waits, and nothing is lost."""

import os
import subprocess
import threading

import pytest

from rheostat.errors import RheostatError
from rheostat.runs import audit
from rheostat.steering.records import Change, Verb

SIZE = 24 * 2**20

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")


@pytest.fixture
def small_disk(tmp_path):
    """The state directory of the test's daemon, on a disk of its own."""
    folder = tmp_path / "state"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("this machine lets nobody mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk):
    """Leave no room at all, and return what takes it."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (2**20, 2**10, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return ballast


def test_a_full_disk_costs_a_run_neither_steps_nor_decisions_nor_its_old_checkpoints(
    small_disk, start_daemon, tmp_path
):
    daemon = start_daemon()
    with daemon.training(model={"args": {"hidden": [64]}}, train={"steps": 10**7}) as run:
        first = daemon.client.save_checkpoint(run.name)
        ballast = fill(small_disk)
        answers = []

        def change():
            asked = Change(verb=Verb.SCALE, value=0.5, reason="while the disk was full")
            result = daemon.client.change_learning_rate(run.name, asked, timeout=60.0)
            answers.append(result.decision)

        with pytest.raises(RheostatError, match="No space left on device"):
            daemon.client.save_checkpoint(run.name)
        asking = threading.Thread(target=change)
        asking.start()
        asking.join(timeout=3.0)
        waited = not answers
        kept = [one.step for one in daemon.client.list_checkpoints(run.name)]
        ballast.unlink()
        asking.join(timeout=60.0)
        second = daemon.client.save_checkpoint(run.name)
        run.advance(1)

    assert waited, "nobody was told of what was not on the disk"
    assert kept == [first.step]
    assert second.step > first.step
    assert [record.decision for record in run.history] == answers
    audit.verify(run.history)
    steps = [int(row["step"]) for row in run.export(tmp_path / "run.csv")]
    assert steps == list(range(run.view.result.steps))
    assert "checkpoint_failed" in [event.kind for event in run.view.events]
