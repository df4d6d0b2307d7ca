"""What is refused with RESOURCE_EXHAUSTED, over the wire."""

import asyncio
import time
from contextlib import closing

import grpc
import pytest
from fuzzing.frames import Withheld
from google.rpc.error_details_pb2 import RetryInfo
from grpc_status import rpc_status

from rheostat.api import judging
from rheostat.api.server import ApiServer
from rheostat.client import AsyncClient
from rheostat.door.authenticating import Door
from rheostat.door.limits import Limits
from rheostat.door.roles import Role
from rheostat.door.tokens import TokenFile, new_token
from rheostat.errors import ResourceExhausted
from rheostat.v1 import runs_pb2
from rheostat.v1.runs_pb2_grpc import RunsStub


@pytest.fixture
async def limited(service):
    """Start a control plane with limits: `address = await limited(streams=2)`."""
    servers = []

    async def start(**limits):
        servers.append(ApiServer(service, address="127.0.0.1:0", limits=Limits(**limits)))
        return await servers[-1].start()

    yield start
    for server in servers:
        await server.stop(0)


async def test_too_many_requests_are_refused_with_the_time_to_come_again(limited):
    async with grpc.aio.insecure_channel(await limited(requests_per_minute=3)) as channel:
        ask = RunsStub(channel).GetRun
        as_ada = (("x-rheostat-principal", "ada"),)
        for _ in range(3):
            await ask(runs_pb2.GetRunRequest(run="digits"), metadata=as_ada)
        with pytest.raises(grpc.RpcError) as refused:
            await ask(runs_pb2.GetRunRequest(run="digits"), metadata=as_ada)
        await ask(runs_pb2.GetRunRequest(run="digits"))

    retry = RetryInfo()
    found = [detail.Unpack(retry) for detail in rpc_status.from_call(refused.value).details]
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "--max-requests-per-minute" in refused.value.details()
    assert any(found)
    assert 0 < retry.retry_delay.ToNanoseconds() <= 20e9


async def test_too_many_streams_are_refused_until_one_ends(limited, service):
    service.ends = False
    async with AsyncClient(await limited(streams=2)) as client:
        watches = [client.watch_run("digits") for _ in range(2)]
        for watch in watches:
            await anext(watch)
        with pytest.raises(ResourceExhausted, match=r"2 streams open.*--max-streams"):
            await anext(client.watch_run("digits"))
        await watches[0].aclose()
        await asyncio.wait_for(service.given_up.wait(), 5)
        async with asyncio.timeout(5):
            while True:
                try:
                    await anext(client.watch_run("digits"))
                except ResourceExhausted:
                    await asyncio.sleep(0.01)
                else:
                    break


async def test_a_request_that_is_too_long_is_refused(limited, service, refusal):
    async with grpc.aio.insecure_channel(await limited(message_bytes=1000)) as channel:
        long = runs_pb2.CreateRunRequest(spec="x" * 1000)
        refused = await refusal(RunsStub(channel).CreateRun(long))

    assert (refused.code, service.asked) == (grpc.StatusCode.RESOURCE_EXHAUSTED, [])


async def test_too_many_calls_at_once_are_refused(limited, service, refusal):
    service.ends = False
    async with grpc.aio.insecure_channel(await limited(concurrent_calls=1)) as channel:
        watch = RunsStub(channel).WatchRun(runs_pb2.WatchRunRequest(run="digits"))
        await watch.read()
        refused = await refusal(RunsStub(channel).GetRun(runs_pb2.GetRunRequest(run="digits")))
        watch.cancel()

    assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED


LARGEST = 4 * 2**20 - 10


def withheld(address, method, *, token=None):
    """Withhold the last byte of a call; return what was sent of it, and how it ended."""
    with closing(Withheld(address, method, length=LARGEST, token=token)) as call:
        deadline = time.monotonic() + 3
        while call.trailers is None and time.monotonic() < deadline:
            call.push()
            time.sleep(0.002)
        return call.sent, call.trailers


@pytest.fixture
async def guarded(service, tmp_path):
    """A control plane that knows ada by her token; `guarded.ada` is the token."""
    ada = new_token("ada", Role.ADMIN)
    (tmp_path / "tokens").write_text(ada.line)
    server = ApiServer(service, address="127.0.0.1:0", door=Door([TokenFile(tmp_path / "tokens")]))
    server.address, server.ada = await server.start(), ada.token
    yield server
    await server.stop(0)


@pytest.mark.parametrize("token", [None, "guess"])
async def test_of_what_a_stranger_sends_nothing_is_taken_in(guarded, token):
    """But what is on its way before it is refused: a window of 64 KiB."""
    method = "/rheostat.v1.Runs/CreateRun"
    sent, ended = await asyncio.to_thread(withheld, guarded.address, method, token=token)

    assert (sent < 2**18, ended is not None) == (True, True)


@pytest.mark.parametrize("method", ["/rheostat.v1.Runs/CreateRun", "/grpc.health.v1.Health/Check"])
async def test_a_message_whose_end_does_not_come_is_not_waited_for(guarded, monkeypatch, method):
    monkeypatch.setattr(judging, "READ_SECONDS", 0.2)
    monkeypatch.setattr(judging, "STRANGER_SECONDS", 0.2)
    sent, ended = await asyncio.to_thread(withheld, guarded.address, method, token=guarded.ada)

    assert (sent > 0, ended is not None) == (True, True)


async def test_a_call_without_a_message_is_none(guarded, refusal):
    async def nothing():
        return
        yield

    async with grpc.aio.insecure_channel(guarded.address) as channel:
        call = channel.stream_unary("/rheostat.v1.Runs/GetRun")
        refused = await refusal(
            call(nothing(), metadata=(("authorization", f"Bearer {guarded.ada}"),))
        )

    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT


async def test_no_caller_has_more_than_half_of_the_calls(limited, service, refusal):
    service.ends = False
    as_ada, as_eve = ((("x-rheostat-principal", name),) for name in ("ada", "eve"))
    async with grpc.aio.insecure_channel(await limited(concurrent_calls=4)) as channel:
        runs = RunsStub(channel)
        watches = [
            runs.WatchRun(runs_pb2.WatchRunRequest(run="digits"), metadata=as_ada) for _ in range(2)
        ]
        for watch in watches:
            await watch.read()
        third = await refusal(runs.GetRun(runs_pb2.GetRunRequest(run="digits"), metadata=as_ada))
        await runs.GetRun(runs_pb2.GetRunRequest(run="digits"), metadata=as_eve)
        for watch in watches:
            watch.cancel()

    assert third.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "2 calls of ada are under way" in third.message
