"""Who lives: a lock that the kernel gives back with the process."""

import os
import signal
import subprocess
import sys

import pytest

from rheostat.runs.starting import LOCK_FILE, StartOrder
from rheostat.runs.supervisor import Supervisor

HOLDER = """
import fcntl, os, sys, time
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
os.pwrite(lock, str(os.getpid()).encode(), 0)
print("locked", flush=True)
time.sleep(60)
"""


@pytest.fixture
def supervisor(tmp_path):
    return Supervisor(tmp_path)


@pytest.fixture
def orphan(supervisor):
    """A trainer of the run `digits` that another daemon had started."""
    folder = supervisor.folder_of("digits")
    folder.mkdir(parents=True)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, folder / LOCK_FILE],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout.readline() == b"locked\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_nobody_lives_in_a_folder_that_is_not_there(supervisor):
    assert not supervisor.is_living("digits")
    assert supervisor.pid_of("digits") is None


async def test_another_daemons_trainer_is_known_watched_and_ended(supervisor, orphan):
    assert supervisor.is_living("digits")
    assert supervisor.pid_of("digits") == orphan.pid

    supervisor.kill("digits")

    assert await supervisor.wait("digits") is None, "only its parent knows how it ended"
    assert orphan.wait() == -signal.SIGKILL
    assert not supervisor.is_living("digits")


async def test_a_second_trainer_is_not_started_beside_a_living_one(supervisor, orphan):
    with pytest.raises(BlockingIOError):
        await supervisor.start("digits", "{}", StartOrder(), "secret")

    assert not (supervisor.folder_of("digits") / "start.json").exists()


def test_a_halted_trainer_is_seen_as_one(supervisor, orphan):
    assert not supervisor.is_halted("digits")

    os.kill(orphan.pid, signal.SIGSTOP)
    os.waitpid(orphan.pid, os.WUNTRACED)

    assert supervisor.is_halted("digits")


def test_deleting_a_runs_files_leaves_everything_else_alone(supervisor, tmp_path):
    outside = tmp_path / "precious"
    outside.mkdir()
    (outside / "file").touch()
    folder = supervisor.folder_of("digits")
    folder.mkdir(parents=True)
    (folder / "link").symlink_to(outside)

    supervisor.delete_files("digits")

    assert not folder.exists()
    assert (outside / "file").exists()
    folder.symlink_to(outside)
    for run in ("digits", "../precious", ".."):
        with pytest.raises(ValueError, match="is not the folder of a run"):
            supervisor.delete_files(run)
    assert (outside / "file").exists()
