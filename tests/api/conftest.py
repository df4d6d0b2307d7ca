import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_status import rpc_status

from rheostat.v1.learning_rates_pb2_grpc import LearningRatesStub
from rheostat.v1.runs_pb2_grpc import RunsStub


@pytest.fixture
async def channel(address):
    async with grpc.aio.insecure_channel(address) as channel:
        yield channel


@pytest.fixture
def runs(channel):
    return RunsStub(channel)


@pytest.fixture
def learning_rates(channel):
    return LearningRatesStub(channel)


class Refusal:
    """What a caller in any language gets instead of an answer."""

    def __init__(self, error):
        self.code = error.code()
        self.message = error.details()
        self.info, bad_request = ErrorInfo(), BadRequest()
        status = rpc_status.from_call(error)
        for detail in status.details if status else ():
            detail.Unpack(self.info)
            detail.Unpack(bad_request)
        self.violations = {one.field: one.description for one in bad_request.field_violations}


@pytest.fixture
def refusal():
    """Make a call that must fail and return how: `await refusal(stub.GetRun(request))`."""

    async def of(call):
        with pytest.raises(grpc.RpcError) as caught:
            await (_read_to_the_end(call) if hasattr(call, "read") else call)
        return Refusal(caught.value)

    return of


async def _read_to_the_end(stream):
    while await stream.read() is not grpc.aio.EOF:
        pass
