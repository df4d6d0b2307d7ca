"""Runs of several processes, killed at random: they end as if nothing had been."""

import os
import random
import signal
import subprocess
from pathlib import Path

import pytest
from tests.end_to_end.conftest import RHEOSTAT, environment

STEPS = 240
CHANGES = ((90, 0.5), (180, 0.25))
"""What operators ask for right at the start: at which step to scale the LR, and by how much."""
SPEC = {
    "model": {"name": "mlp", "args": {"hidden": [64]}},
    "data": {"batch_size": 64},
    "policies": [{"name": "plateau", "args": {"patience": 2}}],
    "train": {"steps": STEPS, "processes": 2},
    "evaluate": {"every": 60},
    "checkpoint": {"every": 20},
}
RANK_0, RANK_1, LAUNCHER = "rank 0", "rank 1", "launcher"


def begin(daemon, **train):
    run = daemon.create(name="wide", **SPEC | {"train": SPEC["train"] | train})
    run.reach("running")
    for step, factor in CHANGES:
        run.change("scale", factor, at_step=step, request_id=f"at-{step}", wait=False)
    return run


def told(run, folder):
    history = [
        (one.decision.revision, one.decision.applied_step, one.decision.source, one.decision.groups)
        for one in run.history
    ]
    return run.export(folder / "run.csv"), history


@pytest.fixture(scope="module")
def undisturbed(daemon, tmp_path_factory):
    """What the run leaves behind that nothing happens to."""
    run = begin(daemon)
    assert run.end().phase == "succeeded", run.view.failure
    return told(run, tmp_path_factory.mktemp("undisturbed"))


def pids(daemon, run, *, on_all_machines=False):
    """Return the process ids of a run's launcher and ranks, by what they are called."""
    folder = daemon.state_dir / "runs" / run.name
    found = {LAUNCHER: int((folder / "trainer.lock").read_text())}
    for status in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = status.read_bytes().split(b"\0")
            variables = (status.parent / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        is_here = on_all_machines or str(folder).encode() in words
        if b"rheostat.trainer.distributed" in words and is_here:
            [rank] = [one[5:].decode() for one in variables if one.startswith(b"RANK=")]
            found[f"rank {rank}"] = int(status.parent.name)
    return found


def is_up(run, attempt):
    view = run.view
    return (view.attempt, view.phase) == (attempt, "running")


def test_a_run_of_two_processes_survives_the_death_of_any_of_them(
    start_daemon, undisturbed, wait_until, is_alive, tmp_path
):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    victims = [RANK_0, RANK_1, LAUNCHER]
    dice.shuffle(victims)
    daemon = start_daemon()
    run = begin(daemon)

    for number, victim in enumerate(victims, start=1):
        wait_until(lambda number=number: is_up(run, number), f"trainer {number} trains")
        run.advance(dice.randrange(10, 50))
        present = pids(daemon, run)
        assert set(present) == {RANK_0, RANK_1, LAUNCHER}
        os.kill(present[victim], signal.SIGKILL)
        gone = list(present.values())
        wait_until(lambda gone=gone: not any(map(is_alive, gone)), "the others have ended too")
    view = run.end()

    assert (view.phase, view.restarts) == ("succeeded", {"killed": 3})
    assert told(run, tmp_path) == undisturbed


def test_a_paused_run_of_two_processes_is_taken_over_by_the_next_daemon(
    start_daemon, undisturbed, tmp_path
):
    daemon = start_daemon()
    run = begin(daemon)
    run.advance(50)
    paused = daemon.client.pause_run(run.name)

    daemon.kill()
    run.daemon = daemon = start_daemon()
    found = run.reach("paused")
    daemon.client.resume_run(run.name)
    view = run.end()

    assert (found.pid, view.attempt, view.phase) == (paused.pid, 1, "succeeded")
    assert told(run, tmp_path) == undisturbed


PORT = 29417
HERE, THERE = "10.207.84.1", "10.207.84.2"


def ip(*words):
    subprocess.run(("ip", *words), check=True, capture_output=True, text=True)


@pytest.fixture(scope="module")
def other_machine():
    """Return what runs a command on another machine, which is a network namespace here."""
    space, device = f"rheostat-{os.getpid()}", f"rheo{os.getpid()}"
    try:
        ip("netns", "add", space)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no network namespace can be made: {getattr(error, 'stderr', error)}")
    try:
        ip("link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", space)
        ip("address", "add", f"{HERE}/30", "dev", device)
        ip("link", "set", device, "up")
        ip("-n", space, "address", "add", f"{THERE}/30", "dev", "eth0")
        ip("-n", space, "link", "set", "eth0", "up")
        ip("-n", space, "link", "set", "lo", "up")
        yield ("ip", "netns", "exec", space)
    finally:
        ip("netns", "delete", space)


@pytest.fixture
def start_agent(other_machine, wait_until, tmp_path):
    """Start `rheostat agent` on the other machine."""
    started = []

    def start():
        command = (*other_machine, *RHEOSTAT, "agent", "--rendezvous", f"{HERE}:{PORT}")
        log = tmp_path / f"agent-{len(started)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=output, env=environment(tmp_path)
            )
        started.append(process)
        wait_until(lambda: "waiting for a run" in log.read_text(), "the agent looks around")
        return process

    yield start
    for one in started:
        one.terminate()
        one.wait(30)


def test_two_machines_train_as_two_processes_do_and_go_on_when_one_is_lost_and_comes_back(
    start_daemon, start_agent, undisturbed, wait_until, tmp_path
):
    daemon = start_daemon("--rendezvous", f"{HERE}:{PORT}")
    agent = start_agent()
    run = begin(daemon, processes=1, nodes=2)
    run.advance(60)
    here = pids(daemon, run)

    agent.kill()
    run.reach("starting")
    start_agent()
    view = run.end()

    assert set(here) == {LAUNCHER, RANK_0}
    assert (view.phase, view.restarts) == ("succeeded", {"killed": 1})
    assert told(run, tmp_path) == undisturbed


def test_fewer_machines_go_on_with_a_run_and_more_when_it_begins_again(
    start_daemon, start_agent, undisturbed, tmp_path
):
    daemon = start_daemon("--rendezvous", f"{HERE}:{PORT}")
    agent = start_agent()
    run = begin(daemon, processes=1, nodes=2, min_nodes=1)
    run.advance(40)
    agent.kill()
    run.reach("starting")
    run.reach("running")
    # Alone it is so fast that it would be over before anybody else is there.
    daemon.client.pause_run(run.name)
    alone = pids(daemon, run)
    start_agent()
    daemon.client.resume_run(run.name)
    os.kill(alone[LAUNCHER], signal.SIGKILL)
    run.reach("starting")
    run.reach("running")
    together = pids(daemon, run, on_all_machines=True)
    view = run.end()

    assert set(alone) == {LAUNCHER, RANK_0}
    warned = [one["text"] for one in daemon.events if one["event"] == "run.warning"]
    assert warned == ["the run goes on with 1 of 2 processes: machines are missing"]
    assert set(together) == {LAUNCHER, RANK_0, RANK_1}
    assert (view.phase, view.restarts) == ("succeeded", {"killed": 2})
    rows, history = told(run, tmp_path)
    expected, decided = undisturbed
    assert history == decided
    losses = [float(row["train_loss"]) for row in rows]
    assert losses == pytest.approx([float(row["train_loss"]) for row in expected], rel=1e-3)
