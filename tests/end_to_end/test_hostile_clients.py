"""Clients that mean harm: what honest ones notice of them, and what stays behind."""

import os
import time

import grpc
import pytest
from fuzzing.hostility import ATTACKS, HUGE_BYTES, Place, withholding

from rheostat.client import Credentials
from rheostat.door.roles import Role
from rheostat.door.tokens import new_token
from rheostat.v1.runs_pb2 import CreateRunRequest
from rheostat.v1.runs_pb2_grpc import RunsStub


def open_files(daemon):
    return len(os.listdir(f"/proc/{daemon.pid}/fd"))


def resident_megabytes(daemon):
    with open(f"/proc/{daemon.pid}/status") as status:
        return int(status.read().partition("VmRSS:")[2].split()[0]) // 1024


@pytest.fixture(scope="module")
def run(daemon):
    """A run that trains beside all attacks."""
    with daemon.training() as run:
        run.change("scale", 1.0)
        assert daemon.metric("rheostat_steps_total", run=run.name) > 0
        yield run


@pytest.mark.parametrize("attack", ATTACKS)
def test_honest_clients_are_answered_and_runs_go_on(daemon, run, wait_until, attack):
    before = open_files(daemon)
    memory = resident_megabytes(daemon)
    with ATTACKS[attack](Place(daemon.address, daemon.metrics_address, run.name)):
        began = time.monotonic()
        run.change("scale", 0.5)
        assert daemon.metric("rheostat_steps_total", run=run.name) > 0
        run.advance(50)
        took = time.monotonic() - began
        grown = resident_megabytes(daemon) - memory
    wait_until(lambda: open_files(daemon) <= before + 10, "their connections are closed")

    assert took < 15
    assert grown < 200, "megabytes"
    assert "Traceback" not in daemon.log.read_text()


def test_a_message_of_a_hundred_megabytes_is_refused(daemon):
    with (
        grpc.insecure_channel(daemon.address) as channel,
        pytest.raises(grpc.RpcError) as refused,
    ):
        RunsStub(channel).CreateRun(CreateRunRequest(spec="x" * HUGE_BYTES), timeout=30)

    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_what_strangers_begin_to_send_is_not_kept(start_daemon, tmp_path):
    ada = new_token("ada", Role.VIEWER)
    (tmp_path / "tokens").write_text(ada.line)
    daemon = start_daemon("--tokens", tmp_path / "tokens", credentials=Credentials(token=ada.token))
    before = resident_megabytes(daemon)
    with withholding(Place(daemon.address, daemon.metrics_address, "")):
        time.sleep(3)
        grown = resident_megabytes(daemon) - before
        assert daemon.client.list_runs() == []

    assert grown < 250, "megabytes, of 800 that were sent"
