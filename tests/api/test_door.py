"""Who may call: over real TLS, with certificates of CAs made up here, and tokens in a real file."""

import asyncio

import grpc
import pytest
from cryptography.x509 import DNSName, RFC822Name, UniformResourceIdentifier
from google.protobuf import descriptor_pool
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from rheostat.api.server import SERVICES, ApiServer
from rheostat.client import AsyncClient, Credentials
from rheostat.door.authenticating import Door, VerifiedCertificate
from rheostat.door.binding import RolesFile
from rheostat.door.roles import Role
from rheostat.door.tls import TlsFiles
from rheostat.door.tokens import TokenFile, new_token
from rheostat.errors import Unauthenticated, Unreachable


@pytest.fixture
async def serve(service):
    """Start a control plane: `address = await serve(door=..., certificates=...)`."""
    servers = []

    async def start(**options):
        servers.append(ApiServer(service, address="127.0.0.1:0", **options))
        return await servers[-1].start()

    yield start
    for server in servers:
        await server.stop(0)


@pytest.fixture
def tokens(tmp_path):
    """Names that have a token; `tokens.keep("ada")` is the file from now on."""
    return Tokens(tmp_path / "tokens")


class Tokens:
    def __init__(self, file):
        self.file = file
        self.made = {}
        self.keep()

    def keep(self, *names):
        self.made |= {name: new_token(name, Role.ADMIN) for name in names if name not in self.made}
        self.file.write_text("".join(f"{self.made[name].line}\n" for name in names))

    def door(self):
        return Door([TokenFile(self.file)])

    def of(self, name):
        return Credentials(token=self.made[name].token)


@pytest.fixture
def mutual(ours):
    """What a control plane needs that demands client certificates."""
    server = ours.issue_server()
    files = TlsFiles(cert=server.cert, key=server.key, client_ca=ours.file)
    roles = ours.folder / "roles.yaml"
    roles.write_text("bindings: [{role: admin, principals: ['*']}]")
    door = Door([VerifiedCertificate()], [RolesFile(roles)])
    return {"door": door, "certificates": files.watched()}


def holding(files, ca):
    return Credentials(ca=ca.file, cert=files.cert, key=files.key)


async def principal_seen(service, address, credentials):
    """Return the principal under which a caller's change is asked for."""
    async with AsyncClient(address, principal="root@says.so", credentials=credentials) as client:
        await client.stop_run("digits")
    return service.asked[-1][1]["principal"]


async def silence():
    """Say nothing: gRPC's client fails by itself where it writes to a call that has just ended."""
    await asyncio.Event().wait()
    yield b""


def rpcs():
    pool = descriptor_pool.Default()
    return [method for name in SERVICES for method in pool.FindServiceByName(name).methods]


@pytest.mark.parametrize("method", rpcs(), ids=lambda method: method.name)
async def test_no_rpc_answers_who_presents_nothing(serve, service, tokens, refusal, method):
    async with grpc.aio.insecure_channel(await serve(door=tokens.door())) as channel:
        path = f"/{method.containing_service.full_name}/{method.name}"
        if method.client_streaming:
            call = channel.stream_stream(path)(silence())
        else:
            call = channel.unary_stream(path)(b"")
        refused = await refusal(call)

    assert refused.code is grpc.StatusCode.UNAUTHENTICATED
    assert service.asked == []


async def test_health_is_told_to_everybody_and_reflection_to_whom_is_known(serve, tokens, refusal):
    tokens.keep("ada")
    async with grpc.aio.insecure_channel(await serve(door=tokens.door())) as channel:
        health = await HealthStub(channel).Check(HealthCheckRequest())
        reflect = ServerReflectionStub(channel).ServerReflectionInfo
        request = ServerReflectionRequest(list_services="")
        refused = await refusal(reflect(iter([request])))
        metadata = tokens.of("ada").metadata("localhost:1")
        [answer] = [one async for one in reflect(iter([request]), metadata=metadata)]

    assert health.status == HealthCheckResponse.SERVING
    assert (refused.code, refused.info.reason) == (
        grpc.StatusCode.UNAUTHENTICATED,
        "Unauthenticated",
    )
    assert answer.list_services_response.service


async def test_a_token_names_the_principal_whatever_the_caller_says(serve, service, tokens):
    tokens.keep("ada", "robot")
    address = await serve(door=tokens.door())

    names = [await principal_seen(service, address, tokens.of(name)) for name in ("ada", "robot")]

    assert names == ["ada", "robot"]


async def test_tokens_come_and_go_without_a_restart(serve, service, tokens):
    tokens.keep("ada")
    address = await serve(door=tokens.door())
    async with AsyncClient(address, credentials=tokens.of("ada")) as ada:
        await ada.get_run("digits")
        tokens.keep("eve")
        with pytest.raises(Unauthenticated, match="RHEOSTAT_TOKEN"):
            await ada.get_run("digits")

    assert await principal_seen(service, address, tokens.of("eve")) == "eve"


async def test_a_token_that_is_taken_back_ends_the_streams_it_began(serve, service, tokens):
    service.ends = False
    tokens.keep("ada")
    async with AsyncClient(await serve(door=tokens.door()), credentials=tokens.of("ada")) as ada:
        events = ada.watch_run("digits")
        await anext(events)
        tokens.keep()
        with pytest.raises(Unauthenticated):
            async for _ in events:
                pass

    await asyncio.wait_for(service.given_up.wait(), 5)


async def test_calls_at_the_same_time_keep_their_own_names(serve, service, tokens):
    names = [f"caller-{number}" for number in range(20)]
    tokens.keep(*names)
    address = await serve(door=tokens.door())

    async def stop(name):
        async with AsyncClient(address, credentials=tokens.of(name)) as client:
            await client.stop_run("digits")

    await asyncio.gather(*map(stop, names))

    assert sorted(asked["principal"] for _, asked in service.asked) == sorted(names)


@pytest.mark.parametrize(
    ("names", "principal"),
    [
        ((DNSName("x.y"), UniformResourceIdentifier("spiffe://ml/ada")), "spiffe://ml/ada"),
        ((RFC822Name("ada@example.org"), DNSName("ada.example.org")), "ada.example.org"),
        ((RFC822Name("ada@example.org"),), "ada@example.org"),
        ((), "ada"),
    ],
)
async def test_a_client_certificate_names_the_principal(
    serve, service, ours, mutual, names, principal
):
    address = await serve(**mutual)

    seen = await principal_seen(service, address, holding(ours.issue("ada", *names), ours))

    assert seen == principal


async def test_a_certificate_for_nobody_is_refused(serve, service, ours, mutual):
    nobody = holding(ours.issue("nobody", common_name=""), ours)

    with pytest.raises(Unauthenticated):
        await principal_seen(service, await serve(**mutual), nobody)


async def test_a_client_without_a_certificate_is_refused(serve, service, ours, mutual):
    with pytest.raises(Unreachable, match=r"hangs up: it may .* want a client certificate"):
        await principal_seen(service, await serve(**mutual), Credentials(ca=ours.file))


async def test_a_client_certificate_of_another_ca_is_refused(
    serve, service, ours, authority, mutual
):
    eve = holding(authority("theirs").issue("eve"), ours)

    with pytest.raises(Unreachable, match="hangs up"):
        await principal_seen(service, await serve(**mutual), eve)


async def test_a_server_of_another_ca_is_not_trusted(serve, service, ours, authority, mutual):
    ada = holding(ours.issue("ada"), authority("theirs"))

    with pytest.raises(Unreachable, match=r"does not prove to be the daemon .*VERIFY_FAILED"):
        await principal_seen(service, await serve(**mutual), ada)


async def test_who_speaks_plaintext_to_tls_is_told_of_the_ca(serve, service, mutual):
    with pytest.raises(Unreachable, match="hangs up: it may speak TLS, which --ca is for"):
        await principal_seen(service, await serve(**mutual), Credentials())


async def test_who_speaks_tls_to_plaintext_is_told_so(address, service, ours):
    with pytest.raises(Unreachable, match="is it one that speaks TLS"):
        await principal_seen(service, address, Credentials(ca=ours.file))


async def test_a_new_certificate_is_used_by_new_connections_while_old_streams_go_on(
    serve, service, ours, authority, mutual
):
    service.ends = False
    ada, theirs = ours.issue("ada"), authority("theirs")
    address = await serve(**mutual)
    async with AsyncClient(address, credentials=holding(ada, ours)) as before:
        events = before.watch_run("digits")
        await anext(events)
        theirs.issue_server("server")  # over the files in use

        with pytest.raises(Unreachable, match="does not prove to be the daemon"):
            await principal_seen(service, address, holding(ada, ours))
        assert await principal_seen(service, address, holding(ada, theirs)) == "ada"
        assert (await anext(events)).run == "digits"


async def test_a_client_ca_that_is_replaced_is_forgotten(serve, service, ours, authority, mutual):
    ada, theirs = ours.issue("ada"), authority("theirs")
    address = await serve(**mutual)
    assert await principal_seen(service, address, holding(ada, ours)) == "ada"
    trusted = ours.file.read_bytes()
    server_ca = ours.folder / "server-ca.pem"
    server_ca.write_bytes(trusted)

    ours.file.write_bytes(theirs.file.read_bytes())

    eve = theirs.issue("eve")
    knowing = {"ca": server_ca}
    with pytest.raises(Unreachable, match="hangs up"):
        await principal_seen(service, address, Credentials(**knowing, **vars(ada)))
    assert await principal_seen(service, address, Credentials(**knowing, **vars(eve))) == "eve"


async def test_tls_with_tokens_needs_no_client_certificate(serve, service, ours, tokens):
    server = ours.issue_server()
    tokens.keep("ada")
    address = await serve(
        door=tokens.door(), certificates=TlsFiles(cert=server.cert, key=server.key).watched()
    )
    ada = Credentials(ca=ours.file, token=tokens.made["ada"].token)

    assert await principal_seen(service, address, ada) == "ada"


async def test_which_rpcs_there_are_not_is_told_to_those_who_are_known(serve, tokens, refusal):
    tokens.keep("ada")
    ada = (("authorization", f"Bearer {tokens.made['ada'].token}"),)
    async with grpc.aio.insecure_channel(await serve(door=tokens.door())) as channel:
        nothing = channel.unary_unary("/rheostat.v1.Runs/Nothing")
        strange = await refusal(nothing(b""))
        known = await refusal(nothing(b"", metadata=ada))

    assert strange.code is grpc.StatusCode.UNAUTHENTICATED
    assert known.code is grpc.StatusCode.UNIMPLEMENTED
