"""Forks of runs that scripts train: the service and its store are real, the scripts are played."""

import asyncio
import fcntl
import json
import os
import struct

import msgspec
import pytest

from rheostat.errors import FailedPrecondition, InvalidRequest, InvalidSpec
from rheostat.runs.checkpoints import (
    MANIFEST_FILE,
    Manifest,
    folder_name,
    list_checkpoints,
    measure,
)
from rheostat.runs.frames import encode
from rheostat.runs.messages import Failed, Finished, Hello, Ready, Telemetry
from rheostat.runs.records import (
    GENERATORS,
    STEERING,
    Failure,
    GroupDescription,
    Phase,
    Result,
    Snapshot,
    StepRows,
)
from rheostat.runs.service import RunService
from rheostat.runs.starting import LOCK_FILE
from rheostat.runs.store import Store
from rheostat.runs.supervisor import Supervisor
from rheostat.spec.admission import Admission

SAID = {
    "name": "mine",
    "optimizer": {"name": "AdamW"},
    "schedule": {"name": "LambdaLR"},
    "policies": [{"name": "my_policies:Mine"}],
    "train": {"steps": 100, "seed": 1},
}


class PlayedScript:
    """What a test lets a script say that the daemon has made a run."""

    def __init__(self, attachment):
        self.attachment = attachment
        self._lock = os.open(f"{attachment.folder}/{LOCK_FILE}", os.O_RDWR | os.O_CREAT)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    async def begin(self):
        with open(self.attachment.link) as file:
            self._reader, self._writer = await asyncio.open_unix_connection(file.read())
        run, token = self.attachment.run.name, self.attachment.token
        group = GroupDescription(name="default", tensors=1, parameters=1, lr_scale=1.0)
        await self.say(
            Hello(run=run, token=token, pid=4711), Ready(steps=None, groups=(group,), device="cpu")
        )

    async def say(self, *messages):
        self._writer.write(b"".join(map(encode, messages)))
        await self._writer.drain()

    async def step_to(self, step, first=0):
        doubles = struct.pack(f"<{step - first}d", *map(float, range(first, step)))
        rows = StepRows(
            first_step=first,
            count=step - first,
            train_loss=doubles,
            learning_rate={"default": doubles},
            duration=doubles,
        )
        snapshot = Snapshot(step=step, revision=0, groups=())
        await self.say(Telemetry(snapshot=snapshot, rows=rows))

    def exit(self):
        self._writer.close()
        os.close(self._lock)


@pytest.fixture
async def make_service(tmp_path):
    """Start a daemon's service on the test's state; the one before is drained."""
    alive = []

    async def start():
        while alive:
            await alive.pop().drain(0.0)
        service = RunService(
            Store(tmp_path / "rheostat.db"),
            Supervisor(tmp_path),
            max_concurrent_runs=1,
            clock=lambda: 1.5e9,
            admission=Admission(),
        )
        alive.append(service)
        await service.start()
        return service

    yield start
    while alive:
        await alive.pop().drain(0.0)


@pytest.fixture
async def service(make_service):
    return await make_service()


@pytest.fixture
async def parent(service, tmp_path):
    """A run whose script has taken a checkpoint after 20 of its 30 steps, and has ended."""
    script = await attach(service, SAID)
    await script.begin()
    await script.step_to(30)
    folder = tmp_path / "runs" / "mine" / "checkpoints" / folder_name(20)
    folder.mkdir(parents=True)
    (folder / "mine.pt").write_bytes(b"weights")
    manifest = Manifest(
        run="mine",
        step=20,
        revision=0,
        created_at=1.5e9,
        reason="asked",
        files={"mine.pt": measure(folder / "mine.pt")},
    )
    (folder / MANIFEST_FILE).write_bytes(msgspec.json.encode(manifest))
    await script.say(Finished(result=Result(steps=30), stopped=False))
    await until(service, "mine", Phase.SUCCEEDED)
    script.exit()
    return "mine"


async def attach(service, said, **fields):
    made = await service.attach_run(json.dumps(said), principal="alice", **fields)
    return PlayedScript(made)


async def until(service, run, phase):
    async with asyncio.timeout(60):
        while (view := await service.get_run(run)).phase is not phase:
            await asyncio.sleep(0.01)
    return view


async def fork(service, name="other", changes=None, **fields):
    spec = json.loads((await service.get_run("mine")).spec) | {"name": name} | (changes or {})
    return await service.fork_run("mine", json.dumps(spec), principal="bob", **fields)


async def test_a_fork_waits_and_daemons_come_and_go(service, parent, make_service, tmp_path):
    made = await fork(service)
    assert (made.phase, made.attached, made.origin.step) == (Phase.QUEUED, True, 20)
    assert "RHEOSTAT_RUN=other" in made.events[-1].message

    service = await make_service()
    view = await service.get_run("other")
    assert (view.phase, view.pid) == (Phase.QUEUED, None)
    rows = [rows async for rows in service.export_run("other")]
    assert sum(one.count for one in rows) == 20
    [adopted] = list_checkpoints(tmp_path / "runs" / "other" / "checkpoints")
    assert (adopted.step, adopted.reason, adopted.pinned) == (20, "fork", True)
    with pytest.raises(FailedPrecondition, match="RHEOSTAT_RUN=other"):
        await service.resume_run("other", principal="bob")

    await service.stop_run("other", principal="bob")
    assert (await service.get_run("other")).phase is Phase.STOPPED
    await service.delete_run("other", principal="bob")
    assert not (tmp_path / "runs" / "other").exists()


async def test_the_first_script_of_its_name_begins_it_and_the_next_one_gets_a_number(
    service, parent
):
    await fork(service)
    said = SAID | {"name": "other", "optimizer": {"name": "SGD"}}
    with pytest.raises(FailedPrecondition, match="attach it with save="):
        await attach(service, said)
    first = await attach(service, said, restores=True, request_id="first")
    again = await service.attach_run(
        json.dumps(said), principal="alice", restores=True, request_id="first"
    )
    second = await attach(service, said, restores=True)

    begun = first.attachment.run
    assert (begun.name, begun.phase, begun.begins_at_checkpoint) == ("other", Phase.STARTING, True)
    assert json.loads(begun.spec)["optimizer"]["name"] == "SGD"
    assert again.run.name == "other"
    assert second.attachment.run.name == "other-2"
    await first.begin()
    await first.step_to(25, first=20)
    await first.say(Finished(result=Result(steps=25), stopped=False))
    ended = await until(service, "other", Phase.SUCCEEDED)
    assert not ended.begins_at_checkpoint
    first.exit()


async def test_a_script_that_ends_before_its_first_step_leaves_the_fork_waiting(service, parent):
    await fork(service)
    said = SAID | {"name": "other"}
    script = await attach(service, said, restores=True)
    await script.begin()
    await until(service, "other", Phase.RUNNING)
    await script.say(Failed(failure=Failure(message="KeyError: 'the head'", kind="KeyError")))
    script.exit()
    view = await until(service, "other", Phase.QUEUED)
    assert "KeyError: 'the head'" in view.events[-1].message

    script = await attach(service, said, restores=True)
    assert script.attachment.run.name == "other"
    await script.begin()
    await script.step_to(21, first=20)
    await script.say(Failed(failure=Failure(message="KeyError: 'the tail'", kind="KeyError")))
    script.exit()
    assert "the tail" in (await until(service, "other", Phase.FAILED)).failure.message


async def test_what_the_request_changes_counts_over_what_the_script_says(service, parent):
    changes = {
        "policies": [{"name": "my_policies:Mine"}, {"name": "plateau"}],
        "guardrails": {"max_lr": 0.5},
        "train": {"steps": 500, "seed": 2},
    }
    made = await fork(service, changes=changes)
    same = await fork(service, "same")
    said = SAID | {"policies": [{"name": "greedy"}], "train": {"steps": 70, "seed": 3}}
    begun = await attach(service, said | {"name": "other"}, restores=True)
    also = await attach(service, said | {"name": "same"}, restores=True)

    assert (made.origin.anew, same.origin.anew) == ((STEERING, GENERATORS), ())
    spec = json.loads(begun.attachment.run.spec)
    assert [policy["name"] for policy in spec["policies"]] == ["my_policies:Mine", "plateau"]
    assert (spec["guardrails"]["max_lr"], spec["train"]) == (0.5, {"steps": 500, "seed": 2})
    spec = json.loads(also.attachment.run.spec)
    assert [policy["name"] for policy in spec["policies"]] == ["greedy"]
    assert (spec["train"], also.attachment.run.steps) == ({"steps": 70, "seed": 3}, 70)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"optimizer": {"name": "AdamW", "lr": 3e-3}}, "optimizer.lr"),
        ({"schedule": {"name": "StepLR"}}, "schedule.name"),
        ({"model": {"name": "mlp"}}, "model"),
        ({"policies": [{"name": "theirs:Policy"}]}, r"policies\[0\].name"),
        ({"train": {"epochs": 3}}, "train.epochs"),
    ],
)
async def test_what_only_the_script_can_say_is_refused_by_its_name(service, parent, changes, field):
    with pytest.raises(InvalidSpec, match=field):
        await fork(service, changes=changes)


async def test_a_fork_that_cannot_be_is_refused_with_the_mend(service, parent):
    with pytest.raises(InvalidRequest, match="precedence"):
        await fork(service, changes={"guardrails": {"max_lr": 0.5}}, precedence="checkpoint")
    with pytest.raises(FailedPrecondition, match=r"attached with save=.* and restore="):
        await fork(service, step=19)
    with pytest.raises(InvalidSpec, match="must be a mapping"):
        await service.fork_run("mine", "other", principal="bob")


async def test_what_a_fork_does_not_say_is_as_the_script_has_said_it(service, parent):
    made = await service.fork_run("mine", "name: other\ntrain: {steps: 70}", principal="bob")

    spec = json.loads(made.spec)
    assert (made.name, spec["train"]["steps"]) == ("other", 70)
    assert spec["optimizer"]["name"] == SAID["optimizer"]["name"]


async def test_the_same_request_forks_once_also_when_the_fork_has_begun(service, parent):
    first = await fork(service, request_id="k")
    script = await attach(
        service, SAID | {"name": "other", "schedule": {"name": "x"}}, restores=True
    )
    again = await fork(service, request_id="k")

    assert (first.name, again.name) == ("other", "other")
    assert script.attachment.run.name == "other"
