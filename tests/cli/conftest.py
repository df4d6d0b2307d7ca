import contextlib
import json
import math
import struct

import msgspec
import pytest
from typer.testing import CliRunner

from rheostat.cli import connection, terminal
from rheostat.cli.main import app
from rheostat.errors import NotFound
from rheostat.runs import audit
from rheostat.runs.checkpoints import CheckpointInfo
from rheostat.runs.records import (
    ChangeResult,
    Evaluation,
    Explanation,
    GroupDescription,
    Origin,
    Phase,
    Result,
    RollbackResult,
    RunView,
    Snapshot,
    StepRows,
    WatchEvent,
)
from rheostat.runs.trials import ProbeReport, Trial
from rheostat.spec.building import PolicyType
from rheostat.steering.records import (
    Decision,
    GroupChange,
    GroupState,
    PolicyStatus,
    RollbackEdit,
)

CHECKPOINT = CheckpointInfo(
    step=60,
    revision=1,
    created_at=1_700_000_001.5,
    reason="asked",
    validation_loss=0.5,
    pinned=True,
    bytes=2_500_000,
    path="/state/runs/digits/checkpoints/step-000000000060",
)
PROBE = ProbeReport(
    step=60,
    steps=4,
    groups=("default",),
    trials=(
        Trial(learning_rate=1e-4, losses=(2.0, 1.98, 1.97, 1.96), end_loss=1.96),
        Trial(learning_rate=1e-3, losses=(2.0, 1.9, 1.8, 1.7), end_loss=1.7),
        Trial(learning_rate=1e-2, losses=(2.0, 1.2, 0.9, 0.8), end_loss=0.8),
        Trial(learning_rate=1e-1, losses=(2.0, 1.1, 0.8, 0.7), end_loss=0.7),
        Trial(learning_rate=10.0, guardrails=("max_lr",), losses=(2.0, 9.0, math.inf)),
    ),
    lowest=1e-1,
    steepest=1e-2,
    seconds=1.25,
)
STATE = GroupState(
    name="default",
    learning_rate=0.0005,
    base=0.001,
    factors={"loss_spike": 1.0},
    operator=0.5,
    hold=None,
    guardrails=(),
)
DECISION = Decision(
    revision=1,
    applied_step=41,
    source="operator",
    groups=(
        GroupChange(
            name="default", old=0.001, new=0.0005, base=0.001, operator=0.5, guardrails=("max_lr",)
        ),
    ),
    verb="scale",
    value=0.5,
    principal="alice",
    reason="too [noisy]",
    request_id="r-1",
    time=1_700_000_000.5,
)
SNAPSHOT = Snapshot(
    step=60,
    revision=1,
    groups=(STATE,),
    train_loss=0.25,
    validation_loss=0.5,
    validation_accuracy=0.75,
    steps_per_second=1950.0,
)


def make_view(phase=Phase.RUNNING, **changes):
    fields = {
        "name": "digits",
        "phase": phase,
        "spec": '{"name":"digits"}',
        "steps": 100,
        "groups": (
            GroupDescription(name="default", tensors=8, parameters=58442, lr=None, lr_scale=1.0),
        ),
        "snapshot": SNAPSHOT,
        "revision": 1,
        "principal": "alice",
        "created_at": 1_700_000_000.0,
        "started_at": 1_700_000_001.0,
    }
    if phase.is_final and phase is not Phase.FAILED:
        fields["result"] = Result(
            steps=100,
            train_loss=0.125,
            validation_loss=0.25,
            validation_accuracy=0.975,
            weights="w",
        )
        fields["finished_at"] = 1_700_000_011.0
    return RunView(**(fields | changes))


def doubles(*values):
    return struct.pack(f"<{len(values)}d", *values)


POLICIES = (
    PolicyStatus(
        name="loss_spike",
        outcomes={"kept": 1200, "changed": 2},
        factors={"default": 0.5},
    ),
    PolicyStatus(
        name="mine",
        shadow=True,
        benched=True,
        mode="lockstep",
        connected=False,
        outcomes={"kept": 3, "late": 4, "missed": 5},
        failure="no answer within its deadline of 0.5 s",
        factors={"default": 1.0, "head": 2.0},
    ),
)


ROLLBACK = Decision(
    revision=5,
    applied_step=300,
    source="rollback",
    verb="rollback",
    principal="ada",
    reason="it diverged",
    groups=(GroupChange(name="default", old=0.3, new=0.1, base=0.1),),
    rollback=RollbackEdit(from_step=510, to_step=300, to_revision=3, steps=1000, skip=250),
)


class FakeClient:
    """Knows one run, `digits`, that ends as soon as it is watched; remembers what it was asked."""

    def __init__(self):
        self.asked = []
        self.change = None
        self.final = make_view(Phase.SUCCEEDED)
        self.view = make_view()
        self.record = audit.chain("digits", audit.GENESIS, DECISION)
        self.result = ChangeResult(decision=DECISION, request_id="r-1")
        self.policies = POLICIES
        self.checkpoints = [CHECKPOINT]
        self.is_attached = False
        self.anew = ()
        self.resumed = make_view(Phase.RUNNING)
        self.priority = None
        self.rows = [
            StepRows(
                first_step=0,
                count=2,
                train_loss=doubles(0.1, 1 / 3),
                learning_rate={"default": doubles(0.001, 0.002)},
                duration=doubles(0.5, 0.25),
                gradient_norm={0: 2.5},
            ),
            # The validation after step 1 arrives with the batch that follows it.
            StepRows(
                first_step=2,
                count=1,
                train_loss=doubles(0.05),
                learning_rate={"default": doubles(0.003)},
                duration=doubles(0.125),
                validation_loss={2: 0.75},
                validation_accuracy={2: 0.5},
            ),
        ]
        self.probe = PROBE
        self.state = Explanation(
            run="digits", step=60, revision=1, groups=(STATE,), decisions=(DECISION,)
        )

    def _of(self, run):
        if run != "digits":
            raise NotFound(f"no run is named {run!r}")
        return self.view

    def create_run(self, spec, priority=0):
        self.asked.append(("create", spec))
        self.priority = priority
        return make_view(Phase.QUEUED, snapshot=None)

    def get_run(self, run):
        return self._of(run)

    def list_runs(self):
        return [self.view]

    def pause_run(self, run):
        return make_view(Phase.PAUSED)

    def resume_run(self, run):
        return self.resumed

    def evaluate_run(self, run, timeout=None):
        self._of(run)
        return Evaluation(step=60, validation_loss=0.5, validation_accuracy=0.75)

    def probe_learning_rates(self, run, learning_rates, *, steps, groups=(), timeout=None):
        self._of(run)
        self.asked.append(("probe", learning_rates, steps, groups))
        return self.probe

    def save_checkpoint(self, run, pin=False, timeout=None):
        self._of(run)
        self.asked.append(("save", pin))
        return CHECKPOINT

    def fork_run(self, run, spec, *, step=None, undone=None, precedence="", request_id=""):
        self._of(run)
        asked = json.loads(spec)
        self.asked.append(("fork", run, asked, step, undone, precedence, request_id))
        origin = Origin(run=run, kind="fork", step=60, anew=self.anew)
        return make_view(Phase.QUEUED, name=asked["name"], origin=origin, attached=self.is_attached)

    def list_checkpoints(self, run):
        self._of(run)
        return self.checkpoints

    def delete_run(self, run):
        self._of(run)
        self.asked.append(("delete", run))

    def stop_run(self, run):
        self.asked.append(("stop", run))
        return make_view(Phase.STOPPING)

    def watch_run(self, run, after_revision=None):
        self.asked.append(("watch", after_revision))
        yield WatchEvent(run=run, view=self._of(run))
        yield WatchEvent(run=run, snapshot=SNAPSHOT)
        yield WatchEvent(run=run, decision=DECISION)
        self.view = self.final
        yield WatchEvent(run=run, view=self.view)

    def roll_back_run(self, run, *, timeout=None, **asked):
        self._of(run)
        self.asked.append(("rollback", asked))
        if asked["dry_run"]:
            return RollbackResult(step=300)
        return RollbackResult(step=300, decision=ROLLBACK)

    def export_run(self, run, *, undone=None):
        yield from self.rows

    def change_learning_rate(self, run, change, *, wait=True, timeout=None):
        self._of(run)
        self.change = change
        self.asked.append(("change", wait, timeout))
        return self.result

    def explain(self, run, step=None):
        self._of(run)
        self.asked.append(("explain", step))
        return self.state

    def list_policies(self, run):
        self._of(run)
        return self.policies

    def list_policy_types(self):
        return (
            PolicyType(name="plateau", summary="Lower the LR when [it] stalls.", origin="built-in"),
            PolicyType(name="theirs", summary="", origin="their-package"),
        )

    def list_decisions(self, run, after_revision=0):
        self._of(run)
        yield self.record


@pytest.fixture
def client(monkeypatch):
    """A client that every verb gets, of a shared daemon at 127.0.0.1:1."""
    client = FakeClient()
    daemon = connection.Daemon(address="127.0.0.1:1")
    monkeypatch.setattr(connection, "find_daemon", lambda *target: contextlib.nullcontext(daemon))
    monkeypatch.setattr(connection, "dial", lambda daemon, **_: contextlib.nullcontext(client))
    return client


@pytest.fixture
def embedded(client, monkeypatch):
    """The same client, of a daemon that lives in the command."""
    daemon = connection.Daemon(
        address="127.0.0.1:1", metrics_address="127.0.0.1:2", is_embedded=True
    )
    monkeypatch.setattr(connection, "find_daemon", lambda *target: contextlib.nullcontext(daemon))
    return client


@pytest.fixture
def rheostat(monkeypatch):
    """Run the command line: `rheostat("lr", "show", "digits")`."""
    for console in (terminal.OUT, terminal.ERR):
        monkeypatch.setattr(console, "width", 200)
    for variable in ("RHEOSTAT_ADDRESS", "RHEOSTAT_STATE_DIR"):
        monkeypatch.delenv(variable, raising=False)

    def invoke(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return invoke


@pytest.fixture
def spec_file(tmp_path):
    file = tmp_path / "digits.yaml"
    file.write_text("name: digits\noptimizer: {lr: 1e-3}\ntrain: {steps: 100}\n")
    return file


@pytest.fixture
def decision_of():
    """Make a decision on the run's one group, with other fields changed."""
    return lambda **changes: msgspec.structs.replace(DECISION, **changes)


@pytest.fixture
def view_of():
    """Make a view of the run `digits` in a phase, with other fields changed."""
    return make_view
