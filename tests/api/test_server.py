import asyncio

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from rheostat.api.learning_rates import LearningRatesApi
from rheostat.api.runs import RunsApi
from rheostat.api.server import ApiServer
from rheostat.door.limits import Limits
from rheostat.errors import FailedPrecondition
from rheostat.v1 import learning_rates_pb2, runs_pb2
from rheostat.v1.learning_rates_pb2_grpc import LearningRatesStub
from rheostat.v1.runs_pb2_grpc import RunsStub


@pytest.mark.parametrize(
    ("pb", "api"), [(runs_pb2, RunsApi), (learning_rates_pb2, LearningRatesApi)]
)
def test_every_rpc_is_answered(pb, api):
    [service] = pb.DESCRIPTOR.services_by_name.values()

    assert {method.name for method in service.methods} == {
        name for name in vars(api) if not name.startswith("_")
    }


async def test_port_0_becomes_the_real_port(address):
    host, port = address.split(":")

    assert (host, int(port) > 0) == ("127.0.0.1", True)


async def test_a_busy_port_is_refused_with_the_address_and_the_mend(service, address):
    server = ApiServer(service, address=address)

    with pytest.raises(FailedPrecondition, match=f"cannot listen on {address}: .* choose another"):
        await server.start()

    await server.stop(0)


async def test_it_listens_on_a_unix_socket(service, tmp_path):
    server = ApiServer(service, address=f"unix:{tmp_path / 'api.sock'}")
    address = await server.start()
    async with grpc.aio.insecure_channel(address) as channel:
        answer = await RunsStub(channel).GetRun(runs_pb2.GetRunRequest(run="digits"))
    await server.stop(0)

    assert (address, answer.run.name) == (f"unix:{tmp_path / 'api.sock'}", "digits")


@pytest.mark.parametrize("name", ["", "rheostat.v1.Runs", "rheostat.v1.LearningRates"])
async def test_health_is_told_overall_and_per_service(channel, name):
    answer = await HealthStub(channel).Check(HealthCheckRequest(service=name))

    assert answer.status == HealthCheckResponse.SERVING


async def test_reflection_lists_the_services_and_their_files(channel):
    reflect = ServerReflectionStub(channel).ServerReflectionInfo
    requests = [
        ServerReflectionRequest(list_services=""),
        ServerReflectionRequest(file_containing_symbol="rheostat.v1.LearningRates"),
    ]
    services, files = [answer async for answer in reflect(iter(requests))]

    assert {one.name for one in services.list_services_response.service} == {
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        "rheostat.v1.LearningRates",
        "rheostat.v1.Policies",
        "rheostat.v1.Checkpoints",
        "rheostat.v1.Runs",
    }
    assert files.file_descriptor_response.file_descriptor_proto


async def test_a_spec_longer_than_a_message_may_be_is_refused(runs, refusal):
    spec = "x" * Limits().message_bytes

    refused = await refusal(runs.CreateRun(runs_pb2.CreateRunRequest(spec=spec)))

    assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_server_that_stops_says_so_before_it_lets_calls_end(service):
    service.applies = False
    server = ApiServer(service, address="127.0.0.1:0")
    async with grpc.aio.insecure_channel(await server.start()) as channel:
        health = HealthStub(channel).Watch(HealthCheckRequest())
        first = await health.read()
        change = learning_rates_pb2.ChangeLearningRateRequest(
            run="digits", scale=learning_rates_pb2.Scale(factor=0.5)
        )
        pending = LearningRatesStub(channel).ChangeLearningRate(change)
        while not service.asked:
            await asyncio.sleep(0.01)
        stopping = asyncio.create_task(server.stop(5))
        second = await health.read()
        service.applies = True
        answer = await pending
        health.cancel()
        await stopping

    assert first.status == HealthCheckResponse.SERVING
    assert second.status == HealthCheckResponse.NOT_SERVING
    assert answer.applied_step == 41


async def test_a_server_that_stops_cuts_off_what_does_not_end_in_time(service, refusal):
    service.ends = False
    server = ApiServer(service, address="127.0.0.1:0")
    async with grpc.aio.insecure_channel(await server.start()) as channel:
        stream = RunsStub(channel).WatchRun(runs_pb2.WatchRunRequest(run="digits"))
        await stream.read()
        await server.stop(0.1)
        refused = await refusal(stream)

    assert refused.code is grpc.StatusCode.UNAVAILABLE
    await asyncio.wait_for(service.given_up.wait(), 5)
