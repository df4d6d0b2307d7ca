"""What the tests of the examples share: a real daemon, and runs that train until stopped."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from rheostat.client import Client

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 60.0


def wait_until(question, what):
    """Ask again and again, and return the first answer that is true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (answer := question()):
        assert time.monotonic() < deadline, f"still waiting until {what}"
        time.sleep(0.02)
    return answer


class Run:
    """A run of a daemon, and what a test wants to know of it."""

    def __init__(self, client, name):
        self.client = client
        self.name = name

    @property
    def step(self):
        view = self.client.get_run(self.name)
        assert not view.phase.is_final, view.failure
        return view.snapshot.step if view.snapshot else 0

    def advance(self, steps):
        """Wait until the run has finished some more steps."""
        target = self.step + steps
        wait_until(lambda: self.step >= target, f"{self.name} has finished {target} steps")

    def policy(self, name):
        """Return where a policy stands."""
        return next(one for one in self.client.list_policies(self.name) if one.name == name)

    def decisions(self, policy):
        """Return what was decided for a policy, oldest first."""
        history = self.client.list_decisions(self.name)
        return [one.decision for one in history if one.decision.source == f"policy:{policy}"]

    def first_decision(self, policy):
        """Wait for the first decision of a policy."""
        return wait_until(lambda: self.decisions(policy), f"{policy} has decided")[0]


class Terminal:
    """The command line as a Python knows it, on a state directory of its own."""

    def __init__(self, state_dir, python=sys.executable):
        self.python = python
        self.state_dir = state_dir
        unwanted = ("RHEOSTAT_ADDRESS", "PYTHONPATH", "VIRTUAL_ENV")
        kept = {name: value for name, value in os.environ.items() if name not in unwanted}
        self.environment = kept | {
            "RHEOSTAT_STATE_DIR": str(state_dir),
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "200",
        }

    def run(self, *command, **options):
        """Run a command of this Python: `run("-m", "pytest")`."""
        done = subprocess.run(
            (self.python, *map(str, command)),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            **options,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def daemon(self):
        """Serve for the life of the block, and yield a client."""
        self.state_dir.mkdir(exist_ok=True)
        endpoints, log = self.state_dir / "daemon.json", self.state_dir / "serve.log"
        anywhere = ("--address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0")
        command = (self.python, "-m", "rheostat", "serve", *anywhere)
        with log.open("w") as output:
            process = subprocess.Popen(command, env=self.environment, stderr=output)
        try:
            wait_until(lambda: endpoints.exists() or process.poll(), "the daemon is ready")
            assert process.poll() is None, log.read_text()
            with Client(json.loads(endpoints.read_text())["address"]) as client:
                yield client
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)


@contextmanager
def training(client, spec):
    """Train a spec for the life of the block, from its first step on."""
    run = Run(client, client.create_run(spec).name)
    try:
        run.advance(1)
        yield run
    finally:
        if not client.get_run(run.name).phase.is_final:
            client.stop_run(run.name)
            wait_until(lambda: client.get_run(run.name).phase.is_final, f"{run.name} has ended")


@pytest.fixture(scope="session")
def client(tmp_path_factory):
    """The client of a daemon that runs as the tests do."""
    with Terminal(tmp_path_factory.mktemp("state")).daemon() as client:
        yield client


@pytest.fixture(scope="session", name="training")
def training_():
    """Train a spec for the life of a block: `with training(client, spec) as run`."""
    return training


@pytest.fixture(scope="session")
def terminal():
    """Open a terminal on a state directory, for some Python: `terminal(folder, python)`."""
    return Terminal


@pytest.fixture(scope="session", name="wait_until")
def wait_until_():
    """Ask again and again, and return the first answer that is true."""
    return wait_until


@pytest.fixture(scope="session")
def endless():
    """Text of a spec that trains a small network at some thousands of steps a second."""
    return json.dumps(
        {
            "name": "small",
            "model": {"name": "mlp", "args": {"hidden": [32]}},
            "train": {"steps": 10**7, "device": "cpu"},
            "evaluate": {"every": 1000},
        }
    )


@pytest.fixture(scope="session")
def root():
    """The folder of the whole project."""
    return ROOT
