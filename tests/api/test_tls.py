"""The transport: what shakes hands and what does not, over real TLS, and what the log says."""

import asyncio
import re
import socket
import ssl
import warnings

import grpc
import pytest

from rheostat.api.server import ApiServer
from rheostat.client import AsyncClient, Credentials
from rheostat.door.authenticating import Door, VerifiedCertificate
from rheostat.door.tls import TlsFiles
from rheostat.errors import Unreachable


@pytest.fixture
async def secured(service, ours):
    server = ours.issue_server()
    files = TlsFiles(cert=server.cert, key=server.key)
    api = ApiServer(service, address="127.0.0.1:0", certificates=files.watched())
    yield await api.start()
    await api.stop(0)


@pytest.fixture
async def mutual(service, ours):
    server = ours.issue_server()
    files = TlsFiles(cert=server.cert, key=server.key, client_ca=ours.file)
    door = Door([VerifiedCertificate()])
    api = ApiServer(service, address="127.0.0.1:0", door=door, certificates=files.watched())
    yield await api.start()
    await api.stop(0)


def shaken(address, ours, version, suites="ALL:@SECLEVEL=0"):
    """Shake hands with one version of TLS, and return the suite that was agreed on."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ours.file)
    context.set_ciphers(suites)
    context.set_alpn_protocols(["h2"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # these versions are not for use
        context.minimum_version = context.maximum_version = version
    host, _, port = address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=5) as connection,
        context.wrap_socket(connection, server_hostname="localhost") as wrapped,
    ):
        return wrapped.cipher()[0]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_versions_of_tls_that_are_broken_shake_no_hands(secured, ours, version):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.to_thread(shaken, secured, ours, version)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_whatever_is_agreed_on_keeps_the_past_secret(secured, ours, version):
    suite = await asyncio.to_thread(shaken, secured, ours, version)

    assert re.match(r"TLS_(AES|CHACHA20)|ECDHE-.*-(GCM|CHACHA20-POLY1305)", suite), suite


@pytest.mark.parametrize("suites", ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA", "AES256-SHA"])
async def test_suites_without_forward_secrecy_or_with_cbc_are_refused(secured, ours, suites):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.to_thread(
            shaken, secured, ours, ssl.TLSVersion.TLSv1_2, f"{suites}:@SECLEVEL=0"
        )


@pytest.mark.parametrize(
    ("kind", "logged"),
    [
        ("expired", "certificate has expired"),
        ("not yet valid", "certificate is not yet valid"),
        ("of another CA", "unable to get local issuer certificate"),
        ("missing", "PEER_DID_NOT_RETURN_A_CERTIFICATE"),
    ],
)
async def test_the_log_says_which_credential_was_refused_and_why_the_caller_nothing(
    mutual, service, ours, authority, capfd, kind, logged
):
    files = {
        "expired": lambda: ours.issue("ada", valid=(-3, -1)),
        "not yet valid": lambda: ours.issue("ada", valid=(1, 3)),
        "of another CA": lambda: authority("theirs").issue("ada"),
        "missing": lambda: None,
    }[kind]()
    pair = vars(files) if files else {}
    async with AsyncClient(mutual, credentials=Credentials(ca=ours.file, **pair)) as ada:
        with pytest.raises(Unreachable) as refused:
            await ada.get_run("digits")

    assert logged in capfd.readouterr().err
    assert (kind in str(refused.value), service.asked) == (False, [])


async def test_a_stream_outlives_ten_rotations_of_the_certificate(service, ours, authority):
    service.ends = False
    server = ours.issue_server()
    files = TlsFiles(cert=server.cert, key=server.key)
    api = ApiServer(service, address="127.0.0.1:0", certificates=files.watched())
    address = await api.start()
    async with AsyncClient(address, credentials=Credentials(ca=ours.file)) as client:
        events = client.watch_run("digits")
        for number in range(10):
            assert (await anext(events)).run == "digits"
            renewed = authority(f"ca-{number}")
            renewed.issue_server("server")  # over the files in use
            fresh = Credentials(ca=renewed.file)
            async with AsyncClient(address, credentials=fresh) as other:
                assert (await other.get_run("digits")).name == "digits"
        assert (await anext(events)).run == "digits"
    await api.stop(0)


async def test_plaintext_on_a_tls_port_is_hung_up_on(secured):
    async with grpc.aio.insecure_channel(secured) as channel:
        with pytest.raises(grpc.RpcError) as refused:
            await channel.unary_unary("/rheostat.v1.Runs/ListRuns")(b"", timeout=5)

    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
