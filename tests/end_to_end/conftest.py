"""What the end-to-end tests share: a real daemon, real trainers, the real command line."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from rheostat.cli.main import app
from rheostat.client import Client
from rheostat.runs.records import Phase
from rheostat.steering.records import Change, Verb

PLUGINS = Path(__file__).parent / "plugins"
RHEOSTAT = (sys.executable, "-m", "rheostat")
OWN = ("--allow-import", "*", "--data-root", "/")
"""Whoever runs the tests owns the daemon: its specs may name their code and their files."""
FOREVER = 10**7
"""Steps that no test waits for; such a run is stopped."""
PATIENCE_SECONDS = 60.0


def wait_until(question, what):
    """Ask again and again, and return the first answer that is true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (answer := question()):
        assert time.monotonic() < deadline, f"still waiting until {what}"
        time.sleep(0.01)
    return answer


def is_alive(pid):
    """Tell whether a process runs; a zombie does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def environment(state_dir):
    """Return the environment of a terminal whose daemon lives on a state directory."""
    return {name: value for name, value in os.environ.items() if name != "RHEOSTAT_ADDRESS"} | {
        "RHEOSTAT_STATE_DIR": str(state_dir),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "200",
        "PYTHONPATH": os.pathsep.join([str(PLUGINS), os.environ.get("PYTHONPATH", "")]),
    }


def ask(state_dir, *arguments, variables=None):
    """Run a verb of the command line in this process, as in a terminal of that daemon."""
    words = [str(word) for word in arguments]
    terminal = {
        "RHEOSTAT_STATE_DIR": str(state_dir),
        "RHEOSTAT_ADDRESS": None,
        "COLUMNS": "200",
    }
    answer = CliRunner().invoke(app, words, env=terminal | (variables or {}))
    if not isinstance(answer.exception, SystemExit | None):
        raise answer.exception
    return subprocess.CompletedProcess(words, answer.exit_code, answer.stdout, answer.stderr)


def small_spec(**sections):
    """Return a spec that trains a small network at some thousands of steps a second.

    A run that nobody waits for is paced, unless its model is named: it would have a core to itself.
    """
    spec = {
        "name": "small",
        "model": {"name": "mlp", "args": {"hidden": [32]}},
        "data": {"name": "digits"},
        "optimizer": {"name": "AdamW", "lr": 1e-3},
        "train": {"steps": FOREVER, "device": "cpu"},
        "evaluate": {"every": 1000},
    }
    for section, value in sections.items():
        spec[section] = {**spec.get(section, {}), **value} if isinstance(value, dict) else value
    if spec["train"]["steps"] == FOREVER and "name" not in sections.get("model", {}):
        spec["model"]["name"] = "paced:mlp"
    return spec


def finished_steps(view):
    return view.snapshot.step if view.snapshot else 0


class Run:
    """A run of a daemon, and what a test does with it."""

    def __init__(self, daemon, name):
        self.daemon = daemon
        self.name = name

    @property
    def view(self):
        return self.daemon.client.get_run(self.name)

    @property
    def step(self):
        return finished_steps(self.view)

    @property
    def history(self):
        return list(self.daemon.client.list_decisions(self.name))

    def change(self, verb, value=None, *, client=None, wait=True, **fields):
        """Ask for a change, and return the decision that answers it."""
        asked = Change(verb=Verb(verb), value=value, **fields)
        return (
            (client or self.daemon.client)
            .change_learning_rate(self.name, asked, wait=wait)
            .decision
        )

    def reach(self, *phases):
        """Wait until the run is in a phase, and return its view then."""
        return wait_until(
            lambda: view if (view := self.view).phase in phases else None,
            f"{self.name} is {' or '.join(phases)}",
        )

    def advance(self, steps=100):
        """Wait until the run has finished some more steps."""
        target = self.step + steps

        def has_advanced():
            view = self.view
            assert finished_steps(view) >= target or not view.phase.is_final, view.failure
            return finished_steps(view) >= target

        wait_until(has_advanced, f"{self.name} has finished {target} steps")

    def end(self):
        """Wait until the run has ended by itself, and return its last view."""
        return self.reach(Phase.SUCCEEDED, Phase.FAILED, Phase.STOPPED)

    def stop(self):
        """End the run, if it has not, and return its last view."""
        if not self.view.phase.is_final:
            self.daemon.client.stop_run(self.name)
        return self.end()

    def export(self, file):
        """Return the exported rows, as text by column."""
        self.daemon.rheostat("runs", "export", self.name, file, check=True)
        with file.open(newline="") as stream:
            return list(csv.DictReader(stream))


class Daemon:
    """A `rheostat serve` of its own process, and a terminal beside it."""

    def __init__(self, state_dir, *options, credentials=None, admits=OWN):
        self.state_dir = state_dir
        self.log = state_dir / "serve.log"
        state_dir.mkdir(exist_ok=True)
        with self.log.open("ab") as log:
            free_ports = ("--address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0")
            self.process = subprocess.Popen(
                (*RHEOSTAT, "serve", *free_ports, *admits, "--log-format", "json", *options),
                env=environment(state_dir),
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
        found = wait_until(self._endpoints, "the daemon is ready")
        self.address, self.metrics_address = found["address"], found["metrics_address"]
        self.client = Client(self.address, principal="tester@here", credentials=credentials)

    @property
    def pid(self):
        return self.process.pid

    @property
    def events(self):
        """What the daemon has logged, line by line."""
        lines = self.log.read_text().splitlines()
        # gRPC's own library speaks up about handshakes that fail, and knows no JSON.
        return [json.loads(line) for line in lines if line.startswith("{")]

    def create(self, **sections):
        """Queue a small run."""
        return self.create_from(json.dumps(small_spec(**sections)))

    def create_from(self, text):
        return Run(self, self.client.create_run(text).name)

    @contextmanager
    def training(self, **sections):
        """Have a small run that trains; it is stopped at the end of the block."""
        run = self.create(**sections)
        try:
            run.advance(1)
            yield run
        finally:
            run.stop()

    def rheostat(self, *arguments, check=False):
        """Run a verb of the command line in this process, which has imported it already.

        From the main thread only: what others print meanwhile is taken for its answer.
        """
        done = ask(self.state_dir, *arguments)
        if check:
            done.check_returncode()
        return done

    def spawn(self, *arguments):
        """Run a verb in a process of its own: beside this one, or where signals matter."""
        return subprocess.run(
            (*RHEOSTAT, *map(str, arguments)),
            env=environment(self.state_dir),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )

    def json(self, *arguments):
        """Return what a verb prints as JSON."""
        return json.loads(self.rheostat(*arguments, "--json", check=True).stdout)

    def get(self, path):
        """Return the text that the HTTP side answers."""
        with urlopen(f"http://{self.metrics_address}{path}") as response:
            return response.read().decode()

    def metric(self, name, **labels):
        """Return the value of the one series that has these labels."""
        [value] = [
            sample.value
            for family in text_string_to_metric_families(self.get("/metrics"))
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        return value

    def terminate(self):
        """Ask the daemon to end, and return its exit code."""
        self.client.close()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)

    def kill(self):
        """End the daemon as a power cut would."""
        self.client.close()
        self.process.kill()
        self.process.wait()

    def _endpoints(self):
        assert self.process.poll() is None, self.log.read_text()
        file = self.state_dir / "daemon.json"
        found = json.loads(file.read_text()) if file.exists() else {}
        return found if found.get("pid") == self.pid else None


@contextmanager
def living_daemon(state_dir, *options, **more):
    daemon = Daemon(state_dir, *options, **more)
    try:
        yield daemon
    finally:
        if daemon.process.poll() is None:
            daemon.terminate()


@pytest.fixture(scope="session")
def daemon(tmp_path_factory):
    """The daemon that most tests share; it trains one run at a time."""
    with living_daemon(tmp_path_factory.mktemp("state")) as daemon:
        yield daemon


@pytest.fixture
def start_daemon(tmp_path):
    """Start a daemon that the test may ill-treat, on the test's own state directory."""
    with ExitStack() as stack:
        yield lambda *options, **more: stack.enter_context(
            living_daemon(tmp_path / "state", *options, **more)
        )


@pytest.fixture
def rheostat(tmp_path):
    """Run the command line in a process of its own, on the test's own state directory."""

    def run(*arguments, variables=None):
        return subprocess.run(
            (*RHEOSTAT, *map(str, arguments)),
            env=environment(tmp_path / "state") | (variables or {}),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )

    return run


@pytest.fixture(name="ask")
def ask_(tmp_path):
    """Run a verb in this process, on the test's own state directory: one that starts nothing."""
    return partial(ask, tmp_path / "state")


@pytest.fixture
def begin(tmp_path):
    """Begin a command in a process of its own, on the test's own state directory."""
    begun = []

    def begin(*arguments):
        process = subprocess.Popen(
            (*RHEOSTAT, *map(str, arguments)),
            env=environment(tmp_path / "state"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        begun.append(process)
        return process

    yield begin
    for process in begun:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def spec_file(tmp_path):
    """Write a small spec to a file."""

    def write(**sections):
        file = tmp_path / "spec.json"
        file.write_text(json.dumps(small_spec(**sections)))
        return file

    return write


@pytest.fixture(scope="session")
def planned():
    """Ask `rheostat plan` for the curve of a spec file: learning rates, and momenta if it has any.

    In this process, which then imports torch once and not for every curve.
    """

    def plan(file, steps):
        at = f"0:{steps}:1"
        done = CliRunner().invoke(app, ["plan", str(file), "--json", "--at", at])
        assert done.exit_code == 0, done.output
        answer = json.loads(done.stdout)
        assert answer["steps"] == list(range(steps))
        return answer["learning_rate"], answer.get("momentum", {})

    return plan


@pytest.fixture(scope="session", name="wait_until")
def wait_until_():
    """Ask again and again, and return the first answer that is true."""
    return wait_until


@pytest.fixture(scope="session", name="is_alive")
def is_alive_():
    """Tell whether a process runs."""
    return is_alive
