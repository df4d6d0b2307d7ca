import struct

import aiohttp
import msgspec
import pytest

from rheostat.runs.checkpoints import CheckpointInfo
from rheostat.runs.histogram import Histogram
from rheostat.runs.records import Phase, RunView, Snapshot
from rheostat.steering.records import GroupState, PolicyStatus
from rheostat.telemetry.server import TelemetryServer

CHECKPOINT = CheckpointInfo(
    step=40,
    revision=3,
    created_at=1.7e9,
    reason="every",
    bytes=4711,
    path="/state/runs/digits/checkpoints/step-000000000040",
)


class FakeSource:
    """What the service tells telemetry: one steered run, free to be changed by a test."""

    def __init__(self):
        durations = Histogram((0.001, 0.01))
        durations.observe_many(struct.pack("<4d", 0.0005, 0.001, 0.005, 7.0))
        self.runs = {"digits": STEERED}
        self.durations = {"digits": durations}
        self.policy_durations = {"digits": {"loss_spike": durations}}
        self.checkpoints = {"digits": {"saved": 3, "failed": 1}}
        self.checkpoint_durations = {"digits": durations}
        self.newest_checkpoints = {"digits": CHECKPOINT}
        self.changes = {"digits": {"operator": 2, "policy:loss_spike": 1}}

    def views(self):
        return list(self.runs.values())

    def replace(self, run, **fields):
        self.runs[run] = msgspec.structs.replace(self.runs[run], **fields)


STEERED = RunView(
    name="digits",
    phase=Phase.RUNNING,
    spec="{}",
    restarts={"killed": 2},
    snapshot=Snapshot(
        step=40,
        revision=3,
        groups=(
            GroupState(
                name="body",
                learning_rate=0.05,
                base=0.1,
                factors={"loss_spike": 0.25},
                operator=2.0,
                hold=None,
                guardrails=(),
            ),
            GroupState(
                name="head",
                learning_rate=0.001,
                base=0.1,
                factors={"loss_spike": 1.0},
                operator=1.0,
                hold=0.002,
                guardrails=("max_lr",),
                shadows={"plateau": 0.004},
            ),
        ),
        train_loss=0.1 + 0.2,
        gradient_norm=1.5,
        validation_loss=0.4,
        validation_accuracy=0.95,
        samples=2560,
        loss_scale=1024.0,
        skipped_updates=3,
        guardrail_interventions={"max_lr": 7},
        policies=(
            PolicyStatus(name="loss_spike", outcomes={"changed": 1, "kept": 38, "failed": 1}),
        ),
    ),
)


@pytest.fixture
def source():
    return FakeSource()


@pytest.fixture
async def server(source):
    """A telemetry server on a free port; `server.url` is where, `server.is_ready` can be set."""
    server = TelemetryServer(
        source, address="127.0.0.1:0", is_ready=lambda: server.is_ready, version="1.2.3"
    )
    server.is_ready = True
    server.url = f"http://{await server.start()}"
    yield server
    await server.stop()


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as session:
        yield session
