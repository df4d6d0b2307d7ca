"""What each role may do: every RPC there is, for every role, over the wire."""

import asyncio
from contextlib import suppress

import grpc
import pytest
from fuzzing.messages import path_of, rpcs
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha import reflection

from rheostat.api import judging
from rheostat.api.server import SERVICES, ApiServer
from rheostat.client import AsyncClient, Credentials
from rheostat.door.authenticating import Door
from rheostat.door.binding import RolesFile
from rheostat.door.permissions import PERMISSIONS
from rheostat.door.roles import Role
from rheostat.door.tokens import TokenFile, new_token
from rheostat.errors import PermissionDenied, Unauthenticated
from rheostat.steering.records import Change, PolicyEdit, ScheduleEdit, Verb
from rheostat.v1.checkpoints_pb2 import ForkRunRequest

HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
EXPECTED = {
    Role.VIEWER: """
        Runs/GetRun Runs/ListRuns Runs/WatchRun Runs/ExportRun
        Checkpoints/ListCheckpoints
        LearningRates/GetLearningRates LearningRates/ExplainLearningRates
        LearningRates/ListDecisions LearningRates/ListHeldChanges
        Policies/ListPolicyTypes Policies/ListPolicies
        Health/Check Health/List Health/Watch ServerReflection/ServerReflectionInfo
    """,
    Role.OPERATOR: """
        Runs/PauseRun Runs/ResumeRun Runs/StopRun Runs/EvaluateRun Checkpoints/SaveCheckpoint
        LearningRates/ChangeLearningRate LearningRates/SwapSchedule LearningRates/SetHorizon
        LearningRates/StartCooldown LearningRates/RewarmSchedule LearningRates/ApproveChange
        LearningRates/ProbeLearningRates
        Policies/AttachPolicy Policies/UpdatePolicy Policies/DetachPolicy Policies/ConnectPolicy
    """,
    Role.ADMIN: """
        Runs/CreateRun Runs/DeleteRun Runs/ReplayRun Runs/AttachRun
        Checkpoints/ForkRun Checkpoints/RollbackRun
    """,
}
"""What the documentation says: the least role of every RPC."""
NEEDS = {name: role for role, names in EXPECTED.items() for name in names.split()}


def short(method):
    return f"{method.containing_service.name}/{method.name}"


@pytest.fixture
def access(tmp_path):
    return Access(tmp_path)


class Access:
    """A token for each name, and a file of roles that a test writes."""

    def __init__(self, folder):
        self.roles = folder / "roles.yaml"
        self.tokens = folder / "tokens"
        self.bind()
        self.made = {name: new_token(name) for name in ("ada", "eve")}
        self.made |= {role: new_token(f"a-{role}", role) for role in Role}
        self.tokens.write_text("".join(f"{one.line}\n" for one in self.made.values()))

    def bind(self, *bindings):
        self.roles.write_text("bindings:\n" + "".join(f"- {one}\n" for one in bindings))
        if not bindings:
            self.roles.write_text("bindings: []")

    def door(self):
        return Door([TokenFile(self.tokens)], [RolesFile(self.roles)])

    def of(self, name):
        return Credentials(token=self.made[name].token)


@pytest.fixture
async def guarded(service, access):
    server = ApiServer(service, address="127.0.0.1:0", door=access.door())
    yield await server.start()
    await server.stop(0)


def request_of(method):
    """Return a request about the run `digits`, as bytes; health details where that is asked."""
    if method.containing_service.full_name == HEALTH:
        fields = method.input_type.fields_by_name
        return health_pb2.HealthCheckRequest(service="x").SerializeToString() if fields else b""
    if "run" in method.input_type.fields_by_name:
        number = method.input_type.fields_by_name["run"].number
        return bytes([number << 3 | 2, 6]) + b"digits"
    return b""


async def late(content):
    """Say something after the refusal: gRPC's client makes INTERNAL of one that crosses it."""
    await asyncio.sleep(0.2)
    yield content


async def code_of(channel, method, credentials, content):
    """Return how a call ends, or None where it has an answer."""
    path = path_of(method)
    metadata = credentials.metadata("localhost:1") if credentials else ()
    if method.client_streaming:
        call = channel.stream_stream(path)(late(content), metadata=metadata, timeout=10)
    else:
        call = channel.unary_stream(path)(content, metadata=metadata, timeout=10)
    try:
        await call.read()
        if call.done() and await call.code() is not grpc.StatusCode.OK:
            return await call.code()
    except grpc.RpcError as error:
        return error.code()
    finally:
        call.cancel()
    return None


def test_every_rpc_has_an_entry_and_every_entry_an_rpc():
    services = {method.containing_service.full_name for method in rpcs()}

    assert services == {*SERVICES, HEALTH, reflection.SERVICE_NAME}
    assert set(PERMISSIONS) == {path_of(method) for method in rpcs()}
    assert {short(method) for method in rpcs()} == set(NEEDS)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("method", rpcs(), ids=short)
async def test_an_rpc_answers_its_role_and_no_lesser_one(guarded, service, access, method, role):
    async with grpc.aio.insecure_channel(guarded) as channel:
        code = await code_of(channel, method, access.of(role), request_of(method))

    denied = code is grpc.StatusCode.PERMISSION_DENIED
    assert denied == (not role.covers(NEEDS[short(method)]))
    assert not (denied and service.asked)


@pytest.mark.parametrize("who", [None, "ada"])
@pytest.mark.parametrize("content", [None, b"", b"\xff\xff\xff"], ids=["run", "empty", "garbage"])
@pytest.mark.parametrize("method", rpcs(), ids=short)
async def test_who_has_no_role_gets_nothing_of_any_rpc_whatever_is_sent(
    guarded, service, access, method, content, who
):
    if method.full_name == "grpc.health.v1.Health.Check" and content == b"":
        pytest.skip("whether the daemon answers at all is told to everybody")
    content = request_of(method) if content is None else content
    async with grpc.aio.insecure_channel(guarded) as channel:
        code = await code_of(channel, method, access.of(who) if who else None, content)

    expected = grpc.StatusCode.PERMISSION_DENIED if who else grpc.StatusCode.UNAUTHENTICATED
    assert (code, service.asked) == (expected, [])


async def test_whether_the_daemon_answers_is_told_to_everybody_and_no_more(guarded, refusal):
    async with grpc.aio.insecure_channel(guarded) as channel:
        health = HealthStub(channel)
        overall = await health.Check(health_pb2.HealthCheckRequest())
        named = await refusal(health.Check(health_pb2.HealthCheckRequest(service=SERVICES[0])))
        watch = await refusal(health.Watch(health_pb2.HealthCheckRequest()))

    assert overall.status == health_pb2.HealthCheckResponse.SERVING
    assert {named.code, watch.code} == {grpc.StatusCode.UNAUTHENTICATED}


async def test_health_is_listed_by_service_for_viewers(guarded, access):
    async with grpc.aio.insecure_channel(guarded) as channel:
        listing = health_pb2.HealthListRequest()
        metadata = access.of(Role.VIEWER).metadata("localhost:1")
        answer = await HealthStub(channel).List(listing, metadata=metadata)

    assert set(answer.statuses) == {"", *SERVICES}
    assert {one.status for one in answer.statuses.values()} == {1}


async def test_that_reflection_is_left_out_only_those_find_out_who_are_known(service, access):
    server = ApiServer(service, address="127.0.0.1:0", door=access.door(), reflects=False)
    [method] = [one for one in rpcs() if one.name == "ServerReflectionInfo"]
    async with grpc.aio.insecure_channel(await server.start()) as channel:
        code = await code_of(channel, method, access.of(Role.VIEWER), b"")
        unknown = await code_of(channel, method, None, b"")
    await server.stop(0)

    assert (code, unknown) == (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAUTHENTICATED)


async def test_a_role_for_one_run_is_none_for_another_even_if_it_does_not_exist(guarded, access):
    access.bind("{role: operator, principals: [ada], runs: [digits]}")
    async with AsyncClient(guarded, credentials=access.of("ada")) as ada:
        assert (await ada.pause_run("digits")).name == "digits"
        with pytest.raises(PermissionDenied, match="ada lacks the role admin for some run"):
            await ada.delete_run("digits")
        for other in ("digits-2", "none", "", "*"):
            with pytest.raises(PermissionDenied, match="ada lacks the role operator for run"):
                await ada.pause_run(other)


async def test_a_list_shows_the_runs_that_the_caller_may_see(guarded, service, access, view_named):
    service.views = [view_named(name) for name in ("a-1", "b-1", "a-2", "c")]
    access.bind(
        "{role: viewer, principals: [ada], runs: ['a-*']}",
        "{role: admin, principals: [ada], runs: [c]}",
    )
    async with AsyncClient(guarded, credentials=access.of("ada")) as ada:
        seen = [view.name for view in await ada.list_runs()]
    async with AsyncClient(guarded, credentials=access.of(Role.VIEWER)) as viewer:
        every = [view.name for view in await viewer.list_runs()]

    assert (seen, every) == (["a-1", "a-2", "c"], ["a-1", "b-1", "a-2", "c"])


async def test_a_role_that_is_taken_back_ends_a_stream_at_its_next_message(
    guarded, service, access
):
    service.ends = False
    access.bind("{role: viewer, principals: [ada]}")
    async with AsyncClient(guarded, credentials=access.of("ada")) as ada:
        events = ada.watch_run("digits")
        await anext(events)
        access.bind()
        with pytest.raises(PermissionDenied):
            async for _ in events:
                pass

    await asyncio.wait_for(service.given_up.wait(), 5)


@pytest.mark.parametrize("rpc", ["WatchRun", "Watch"])
async def test_a_stream_that_says_nothing_ends_too(guarded, service, access, monkeypatch, rpc):
    monkeypatch.setattr(judging, "ASK_AGAIN_SECONDS", 0.05)
    silent = asyncio.Event()

    async def watch_run(run, *, after_revision=None):
        yield service.events[0]
        await silent.wait()

    service.watch_run = watch_run
    [method] = [one for one in rpcs() if one.name == rpc]
    path = path_of(method)
    metadata = access.of("eve").metadata("localhost:1")
    access.bind("{role: viewer, principals: [eve]}")
    async with grpc.aio.insecure_channel(guarded) as channel:
        call = channel.unary_stream(path)(request_of(method), metadata=metadata)
        assert await call.read()
        access.bind("{role: viewer, principals: [ada]}")
        with pytest.raises(grpc.RpcError) as ended:
            await asyncio.wait_for(call.read(), 5)

    assert ended.value.code() is grpc.StatusCode.PERMISSION_DENIED


STREAMS = [method for method in rpcs() if method.server_streaming]


@pytest.mark.parametrize("method", STREAMS, ids=short)
async def test_any_stream_ends_when_its_token_is_taken_back(
    guarded, service, access, monkeypatch, method
):
    monkeypatch.setattr(judging, "ASK_AGAIN_SECONDS", 0.05)

    async def stream_of(run, **_):
        yield (service.events if method.name == "WatchRun" else service.rows)[0]
        await asyncio.Event().wait()

    service.watch_run = service.export_run = stream_of
    is_over = asyncio.Event()

    async def silent():
        await is_over.wait()
        yield b""

    metadata = access.of(Role.ADMIN).metadata("localhost:1")
    async with grpc.aio.insecure_channel(guarded) as channel:
        if method.client_streaming:
            call = channel.stream_stream(path_of(method))(silent(), metadata=metadata)
        else:
            request = request_of(method)
            call = channel.unary_stream(path_of(method))(request, metadata=metadata)
            assert await call.read()
        await asyncio.sleep(0.1)
        assert not call.done()
        access.tokens.write_text("")
        with pytest.raises(grpc.RpcError) as ended:
            await asyncio.wait_for(call.read(), 5)
        is_over.set()

    assert ended.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_what_a_policy_says_after_its_token_was_taken_back_is_not_heard(guarded, access):
    """The stream is judged at what comes in as well, not only at what goes out."""
    from rheostat.v1.policies_pb2 import ConnectPolicyRequest, PolicyHello

    access.bind("{role: operator, principals: [ada]}")
    hello = ConnectPolicyRequest(hello=PolicyHello(run="digits", policy="p", schema_version=1))
    metadata = access.of("ada").metadata("localhost:1")
    async with grpc.aio.insecure_channel(guarded) as channel:
        call = channel.stream_stream("/rheostat.v1.Policies/ConnectPolicy")(metadata=metadata)
        access.tokens.write_text("")
        with suppress(grpc.RpcError):  # where the daemon has looked before there was a word
            await call.write(hello.SerializeToString())
            await call.done_writing()

        assert await call.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_token_without_a_role_is_known_and_may_do_nothing(guarded, access):
    async with AsyncClient(guarded, credentials=access.of("ada")) as ada:
        with pytest.raises(PermissionDenied, match="ada lacks the role viewer for some run"):
            await ada.list_runs()
    async with AsyncClient(guarded, credentials=Credentials(token="guess")) as nobody:
        with pytest.raises(Unauthenticated):
            await nobody.list_runs()


async def test_code_by_import_path_takes_an_admin_of_the_run(guarded, service, access):
    access.bind(
        "{role: operator, principals: [ada]}", "{role: admin, principals: [eve], runs: [digits]}"
    )
    attach = Change(verb=Verb.ATTACH, policy=PolicyEdit(policy="mine:P"))
    nested = PolicyEdit(policy="plateau", args='{"x": ["mine:f"]}')
    swap = Change(verb=Verb.SWAP, edit=ScheduleEdit(schedule="mine:halves"))
    plain = Change(verb=Verb.ATTACH, policy=PolicyEdit(policy="plateau"))
    async with (
        AsyncClient(guarded, credentials=access.of("ada")) as ada,
        AsyncClient(guarded, credentials=access.of("eve")) as eve,
    ):
        for change in (attach, swap, Change(verb=Verb.ATTACH, policy=nested)):
            with pytest.raises(PermissionDenied, match="ada lacks the role admin for run digits"):
                await ada.change_learning_rate("digits", change)
            await eve.change_learning_rate("digits", change)
        await ada.change_learning_rate("digits", plain)

    assert [asked["change"].principal for _, asked in service.asked] == [*["eve"] * 3, "ada"]


async def test_an_admin_of_some_runs_creates_runs_with_such_names_only(guarded, service, access):
    access.bind("{role: admin, principals: [ada], runs: ['team-*']}")
    async with AsyncClient(guarded, credentials=access.of("ada")) as ada:
        with pytest.raises(PermissionDenied, match="ada lacks the role admin for run digits"):
            await ada.create_run("{name: digits, train: {steps: 1}}")

    assert service.asked == []


async def test_a_fork_is_called_what_its_admin_may_create(guarded, service, access):
    access.bind("{role: admin, principals: [ada], runs: [digits]}")
    number = ForkRunRequest.DESCRIPTOR.fields_by_name["run"].number
    content = bytes([number << 3 | 2, 6]) + b"digits"
    async with grpc.aio.insecure_channel(guarded) as channel:
        fork = channel.unary_unary("/rheostat.v1.Checkpoints/ForkRun")
        with pytest.raises(grpc.RpcError) as denied:
            await fork(content, metadata=access.of("ada").metadata("localhost:1"))
        await fork(content, metadata=access.of(Role.ADMIN).metadata("localhost:1"))

    assert denied.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert "role admin for run forked" in denied.value.details()
    assert [method for method, _ in service.asked] == ["fork_run"]
