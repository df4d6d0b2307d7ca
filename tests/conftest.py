"""What the tests of the control plane and of its client share: a real server, a service made up."""

import asyncio
import math
import os
import struct
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from types import SimpleNamespace

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import settings

from rheostat.api.server import ApiServer
from rheostat.errors import NotFound
from rheostat.runs.checkpoints import CheckpointInfo
from rheostat.runs.records import (
    Attachment,
    ChangeResult,
    Evaluation,
    Explanation,
    GroupDescription,
    HeldChange,
    Phase,
    RollbackResult,
    RunView,
    Snapshot,
    StepRows,
    WatchEvent,
)
from rheostat.runs.trials import ProbeReport, Trial
from rheostat.steering.records import Decision, DecisionRecord, GroupChange, GroupState

# A busy machine is no bug, so no example has a deadline; CI tries the same examples every time.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

STATE = GroupState(
    name="default",
    learning_rate=0.0005,
    base=0.001,
    factors={"loss_spike": 1.0},
    operator=0.5,
    hold=None,
    guardrails=(),
)
SNAPSHOT = Snapshot(step=60, revision=1, groups=(STATE,), train_loss=0.1 + 0.2)
VIEW = RunView(
    name="digits",
    phase=Phase.RUNNING,
    spec='{"name":"digits"}',
    steps=100,
    groups=(GroupDescription(name="default", tensors=8, parameters=58442, lr=None, lr_scale=1.0),),
    snapshot=SNAPSHOT,
    revision=1,
    principal="alice",
    created_at=1_700_000_000.25,
)


HELD = HeldChange(
    request_id="r-1", verb="scale", value=0.5, principal="alice", ratio=2.0, expires_at=1.7e9
)


def decision(revision):
    return Decision(
        revision=revision,
        applied_step=40 + revision,
        source="operator",
        groups=(
            GroupChange(name="default", old=0.001, new=0.0005, base=0.001, guardrails=("max_lr",)),
        ),
        verb="scale",
        value=0.5,
        principal="alice",
        reason="too noisy",
        request_id=f"r-{revision}",
        time=1_700_000_001.5,
    )


def record(revision):
    return DecisionRecord(
        run="digits", decision=decision(revision), previous_hash="0" * 64, hash="f" * 64
    )


EVALUATION = Evaluation(step=12, validation_loss=0.1 + 0.2, validation_accuracy=0.75)
PROBE = ProbeReport(
    step=12,
    steps=3,
    groups=("default",),
    trials=(
        Trial(
            learning_rate=0.1,
            used={"default": 0.1},
            losses=(2.0, 1.5, 0.1 + 0.2),
            end_loss=0.1 + 0.2,
        ),
        Trial(
            learning_rate=10.0,
            used={"default": 1.0},
            guardrails=("max_lr",),
            losses=(2.0, math.inf),
        ),
    ),
    lowest=0.1,
    seconds=0.25,
)
CHECKPOINT = CheckpointInfo(
    step=12,
    revision=1,
    created_at=1_700_000_002.5,
    reason="asked",
    validation_loss=0.5,
    pinned=True,
    bytes=4711,
    path="/state/runs/digits/checkpoints/step-000000000012",
)


ATTACHMENT = Attachment(
    run=msgspec.structs.replace(VIEW, attached=True),
    link="/state/link",
    folder="/state/runs/digits",
    token="t-1",
)


class FakeRunService:
    """Knows one run, `digits`; a test sets what it answers and reads what it was asked."""

    def __init__(self):
        self.views = [VIEW]
        self.forked = VIEW
        self.attachment = ATTACHMENT
        self.records = [record(1)]
        self.events = [
            WatchEvent(run="digits", view=VIEW),
            WatchEvent(run="digits", snapshot=SNAPSHOT),
            WatchEvent(run="digits", decision=decision(1)),
        ]
        self.rows = [
            StepRows(
                first_step=0,
                count=2,
                train_loss=struct.pack("<2d", 0.1, 1 / 3),
                learning_rate={"default": struct.pack("<2d", 0.001, 0.002)},
                duration=struct.pack("<2d", 0.5, 0.25),
                gradient_norm={1: 2.5},
            )
        ]
        self.errors = []
        """Raised by the next requests, one each."""
        self.applies = True
        """Whether changes come to be applied."""
        self.ends = True
        """Whether a watch ends after the events; else the last one comes for ever."""
        self.asked = []
        """Name of the method and its arguments, without the run."""
        self.told = 0
        """Number of events that watchers took."""
        self.given_up = asyncio.Event()
        """Set when a caller leaves a change or a watch before its end."""

    def _hear(self, method, run="digits", **arguments):
        self.asked.append((method, arguments))
        if self.errors:
            raise self.errors.pop(0)
        if run != "digits":
            raise NotFound(f"no run is named {run!r}")

    async def create_run(
        self, spec, *, principal, request_id="", priority=0, permit=None, is_trusted=False
    ):
        if permit is not None:
            await permit("digits")
        asked = {"spec": spec, "principal": principal, "request_id": request_id}
        asked |= {"priority": priority} if priority else {}
        asked |= {"is_trusted": True} if is_trusted else {}
        self._hear("create_run", **asked)
        return VIEW

    async def attach_run(
        self, spec, *, principal, resume=False, restores=False, request_id="", permit=None
    ):
        if permit is not None:
            await permit("digits")
        self._hear("attach_run", spec=spec, principal=principal, resume=resume, restores=restores)
        return self.attachment

    async def get_run(self, run):
        self._hear("get_run", run)
        return VIEW

    async def list_runs(self):
        self._hear("list_runs")
        return self.views

    async def pause_run(self, run, *, principal):
        self._hear("pause_run", run, principal=principal)
        return VIEW

    async def resume_run(self, run, *, principal):
        self._hear("resume_run", run, principal=principal)
        return VIEW

    async def stop_run(self, run, *, principal):
        self._hear("stop_run", run, principal=principal)
        return VIEW

    async def delete_run(self, run, *, principal):
        self._hear("delete_run", run, principal=principal)

    async def evaluate_run(self, run, *, principal):
        self._hear("evaluate_run", run, principal=principal)
        return EVALUATION

    async def probe_learning_rates(self, run, learning_rates, *, steps, groups=(), principal):
        self._hear(
            "probe_learning_rates",
            run,
            learning_rates=learning_rates,
            steps=steps,
            groups=groups,
            principal=principal,
        )
        return PROBE

    async def replay_run(self, run, *, principal, request_id=""):
        self._hear("replay_run", run, principal=principal, request_id=request_id)
        return VIEW

    async def fork_run(self, run, spec, *, principal, request_id="", permit=None, **fields):
        await permit("forked")
        self._hear("fork_run", run, spec=spec, principal=principal, **fields)
        return self.forked

    async def save_checkpoint(self, run, *, principal, pin=False):
        self._hear("save_checkpoint", run, principal=principal, pin=pin)
        return CHECKPOINT

    async def list_checkpoints(self, run):
        self._hear("list_checkpoints", run)
        return [CHECKPOINT]

    async def watch_run(self, run, *, after_revision=None):
        self._hear("watch_run", run, after_revision=after_revision)
        try:
            for event in self.events:
                self.told += 1
                yield event
            while not self.ends:
                await asyncio.sleep(0)
                self.told += 1
                yield self.events[-1]
        except (asyncio.CancelledError, GeneratorExit):
            self.given_up.set()
            raise

    async def export_run(self, run, *, undone=None, from_step=0):
        self._hear("export_run", run)
        for rows in self.rows:
            yield rows

    async def roll_back_run(self, run, command, *, dry_run=False):
        self._hear("roll_back_run", run, command=command, dry_run=dry_run)
        return RollbackResult(step=12, decision=None if dry_run else decision(1))

    async def change_learning_rate(self, run, change, *, wait=True):
        self._hear("change_learning_rate", run, change=change, wait=wait)
        if not wait:
            return ChangeResult(decision=None, request_id=change.request_id)
        try:
            while not self.applies:
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            self.given_up.set()
            raise
        return ChangeResult(decision=decision(1), request_id=change.request_id)

    async def list_held_changes(self, run):
        self._hear("list_held_changes", run)
        return [HELD]

    async def approve_change(self, run, request_id, *, principal):
        self._hear("approve_change", run, request_id=request_id, principal=principal)
        approved = msgspec.structs.replace(decision(1), approved_by=principal)
        return ChangeResult(decision=approved, request_id=request_id)

    async def explain(self, run, step=None):
        self._hear("explain", run)
        return Explanation(run=run, step=60, revision=1, groups=(STATE,), decisions=(decision(1),))

    async def list_decisions(self, run, *, after_revision=0, limit=100):
        self._hear("list_decisions", run, after_revision=after_revision, limit=limit)
        later = [one for one in self.records if one.decision.revision > after_revision]
        return later[:limit]


@pytest.fixture
def service():
    """The service behind the control plane."""
    return FakeRunService()


@pytest.fixture
async def address(service):
    """Where a control plane in front of that service answers."""
    server = ApiServer(service, address="127.0.0.1:0")
    yield await server.start()
    await server.stop(0)


@pytest.fixture
def view_named():
    """Make the view of a run of some name."""
    return lambda name: msgspec.structs.replace(VIEW, name=name)


@pytest.fixture
def record_of():
    """Make the decision record of a revision."""
    return record


LOCAL = (x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1")))


class Authority:
    """A CA of a test's own; `file` is its certificate."""

    def __init__(self, folder, name):
        self.folder = folder
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(self.name, self.key, x509.BasicConstraints(True, None))
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(certificate)

    def issue(self, name, *names, common_name=None, into=None, valid=(-1, 1)):
        """Write a certificate and its key to files of that name, over those there are.

        It is valid from so many hours after now to so many.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        text = name if common_name is None else common_name
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)] if text else [])
        extensions = [x509.SubjectAlternativeName(names)] if names else []
        folder = into or self.folder
        folder.mkdir(exist_ok=True)
        files = SimpleNamespace(cert=folder / f"{name}.crt", key=folder / f"{name}.key")
        files.cert.write_bytes(self._sign(subject, key, *extensions, valid=valid))
        files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return files

    def issue_server(self, name="server"):
        """Write the certificate of a server on this machine."""
        return self.issue(name, *LOCAL)

    def _sign(self, subject, key, *extensions, valid=(-1, 1)):
        now = datetime.now(UTC)
        begin, end = (now + timedelta(hours=hours) for hours in valid)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)


@pytest.fixture
def authority(tmp_path):
    """Make a CA: `authority("ours").issue("ada")`."""
    return lambda name: Authority(tmp_path, name)


@pytest.fixture
def ours(authority):
    """The CA that both sides trust."""
    return authority("ours")
