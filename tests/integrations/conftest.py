"""What the tests with other people's loops share: a daemon, and an operator at another terminal."""

import importlib.util
import json
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from tests.end_to_end.conftest import PATIENCE_SECONDS, Run, finished_steps, living_daemon

EXAMPLES = Path(__file__).parents[2] / "examples" / "attach"
ENDLESS = 10**6


@pytest.fixture(scope="session")
def daemon(tmp_path_factory):
    with living_daemon(tmp_path_factory.mktemp("state")) as daemon:
        yield daemon


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def example(monkeypatch):
    """Return the module of an example, by its name."""

    def load(name):
        spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def spy_on(monkeypatch):
    """Let an optimizer class of torch keep the LRs that its steps are taken with."""

    def spy(name):
        used = []
        plain = getattr(torch.optim, name)

        class Spy(plain):
            def step(self, closure=None):
                used.append([float(group["lr"]) for group in self.param_groups])
                return super().step(closure)

        monkeypatch.setattr(torch.optim, name, Spy)
        return used

    return spy


class Operator(threading.Thread):
    """Somebody at another terminal: changes the LR of a run that trains, and then stops it."""

    def __init__(self, daemon, run, *change, stop=None):
        super().__init__(daemon=True)
        self.run_ = Run(daemon, run)
        self.answer, self.shown, self.problem = None, None, None
        self._daemon = daemon
        self._change = change
        self._stop_ = stop or (lambda: daemon.client.stop_run(run))

    def run(self):
        try:
            self._wait_for(3)
            asked = self._daemon.spawn("lr", *self._change, "--json")
            self.answer = json.loads(asked.stdout)
            self._wait_for(self.answer["applied_step"] + 5)
            shown = self._daemon.spawn("runs", "show", self.run_.name, "--json")
            self.shown = json.loads(shown.stdout)
        except BaseException as error:
            self.problem = error
        finally:
            self._stop_()

    def _wait_for(self, step):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            names = [view.name for view in self._daemon.client.list_runs()]
            if self.run_.name in names and finished_steps(self.run_.view) >= step:
                return
            time.sleep(0.05)
        raise AssertionError(f"{self.run_.name} does not get to step {step}")


@pytest.fixture
def operator(daemon):
    """Begin to watch out for a run, to change its LR and then stop it."""

    def begin(run, *change, **more):
        started = Operator(daemon, run, *change, **more)
        started.start()
        return started

    return begin


@pytest.fixture
def check(daemon, tmp_path):
    """Check that every step was taken with the LR that the history answers for."""

    def check(operator, used, factors, *, is_interrupted=False):
        operator.join(PATIENCE_SECONDS)
        assert operator.problem is None
        run, at = operator.run_, operator.answer["applied_step"]
        rows = run.export(tmp_path / "rows.csv")
        groups = [group.name for group in run.view.groups]
        base = [[float(row[f"base.{name}"]) for name in groups] for row in rows]
        told = [[float(row[f"learning_rate.{name}"]) for name in groups] for row in rows]
        if is_interrupted and len(used) == len(rows) + 1:
            used = used[:-1]  # it came in the middle of a step, which so was none
        assert len(used) == len(rows)
        assert used == told
        assert used[:at] == base[:at]
        gains = [factors.get(name, 1.0) for name in groups]
        assert used[at:] == [
            [lr * gain for lr, gain in zip(row, gains, strict=True)] for row in base[at:]
        ]
        assert {one["name"] for one in operator.answer["groups"]} == set(factors)
        [record] = run.history
        assert (record.decision.applied_step, record.decision.source) == (at, "operator")
        assert all(float(row["train_loss"]) > 0 for row in rows)
        return base

    return check
