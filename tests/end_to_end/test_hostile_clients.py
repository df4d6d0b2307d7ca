"""Clients that mean harm: what honest ones notice of them, and what stays behind."""

import os
import time

import grpc
import pytest
from fuzzing.hostility import ATTACKS, HUGE_BYTES, Place

from rheostat.v1.runs_pb2 import CreateRunRequest
from rheostat.v1.runs_pb2_grpc import RunsStub


def open_files(daemon):
    return len(os.listdir(f"/proc/{daemon.pid}/fd"))


def resident_megabytes(daemon):
    with open(f"/proc/{daemon.pid}/status") as status:
        return int(status.read().partition("VmRSS:")[2].split()[0]) // 1024


@pytest.mark.parametrize("attack", ATTACKS)
def test_honest_clients_are_answered_and_runs_go_on(start_daemon, wait_until, attack):
    daemon = start_daemon()
    with daemon.training() as run:
        run.change("scale", 1.0)
        assert daemon.metric("rheostat_steps_total", run=run.name) > 0
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
