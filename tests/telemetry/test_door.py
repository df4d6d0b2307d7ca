"""Who may see the metrics: over real HTTPS, with certificates of CAs made up here."""

import ssl
import warnings

import aiohttp
import pytest
from cryptography.x509 import UniformResourceIdentifier
from structlog.testing import capture_logs

from rheostat.door.authenticating import Door, VerifiedCertificate
from rheostat.door.binding import RolesFile
from rheostat.door.roles import Role
from rheostat.door.tls import PresentContext, TlsFiles
from rheostat.door.tokens import TokenFile, new_token
from rheostat.telemetry.server import TelemetryServer


@pytest.fixture
async def serve(source):
    """Start a telemetry server: `address = await serve(door=..., tls=...)`."""
    servers = []

    async def start(**options):
        servers.append(
            TelemetryServer(
                source, address="127.0.0.1:0", is_ready=lambda: True, version="1.2.3", **options
            )
        )
        return await servers[-1].start()

    yield start
    for server in servers:
        await server.stop()


@pytest.fixture
def ada(tmp_path):
    """A token that the file knows."""
    made = new_token("ada", Role.VIEWER)
    (tmp_path / "tokens").write_text(f"{made.line}\n")
    return made


@pytest.fixture
def token_door(tmp_path, ada):
    return Door([TokenFile(tmp_path / "tokens")])


def context_of(files, client_ca=None):
    watched = TlsFiles(cert=files.cert, key=files.key, client_ca=client_ca).watched()
    return PresentContext(watched)


def trusting(ca, files=None):
    context = ssl.create_default_context(cafile=ca.file)
    if files is not None:
        context.load_cert_chain(files.cert, files.key)
    return context


async def status_of(url, *, tls=True, token=None, authorization=None):
    """Ask with a connection of its own, and return the status."""
    headers = (
        {"Authorization": authorization or f"Bearer {token}"} if token or authorization else {}
    )
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers, ssl=tls) as answer:
        await answer.read()
        return answer.status


async def test_metrics_are_for_who_presents_a_token(serve, ours, ada, token_door):
    address = await serve(door=token_door, tls=context_of(ours.issue_server()))
    url, tls = f"https://{address}/metrics", trusting(ours)

    assert await status_of(url, tls=tls) == 401
    assert await status_of(url, tls=tls, token="guess") == 401
    assert await status_of(url, tls=tls, authorization="Basic YWRhOmFkYQ==") == 401
    assert await status_of(url, tls=tls, token=ada.token) == 200


async def test_metrics_show_all_runs_and_so_need_a_viewer_of_all(serve, tmp_path, http):
    bindings = "bindings: [{role: admin, principals: [ada], runs: [digits]}]"
    (tmp_path / "roles.yaml").write_text(bindings)
    bound, eve = new_token("ada"), new_token("eve")
    (tmp_path / "tokens").write_text(f"{bound.line}\n{eve.line}\n")
    door = Door([TokenFile(tmp_path / "tokens")], [RolesFile(tmp_path / "roles.yaml")])
    url = f"http://{await serve(door=door)}/metrics"
    bearer = {"Authorization": f"Bearer {bound.token}"}
    async with http.get(url, headers=bearer) as answer:
        denied = (answer.status, await answer.text())

    assert denied[0] == 403
    assert denied[1].startswith("ada lacks the role viewer for all runs")
    assert await status_of(url, token=eve.token) == 403


async def test_the_answer_401_names_the_scheme_and_not_the_reason(serve, http, token_door):
    url = f"http://{await serve(door=token_door)}/metrics"
    with capture_logs() as logs:
        async with http.get(url, headers={"Authorization": "Bearer guess"}) as answer:
            text = await answer.text()

    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="rheostat"'
    assert "not known" not in text
    [refused] = [one for one in logs if one["event"] == "caller.refused"]
    assert (refused["to"], refused["presented"]) == ("/metrics", "a bearer token that is not known")


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz"])
async def test_health_is_told_to_everybody(serve, token_door, path):
    assert await status_of(f"http://{await serve(door=token_door)}{path}") == 200


@pytest.mark.parametrize(
    "path", ["/metrics/", "//metrics", "/healthz/../metrics", "/%6Detrics", "/x"]
)
async def test_no_spelling_leads_around_the_door(serve, token_door, path):
    assert await status_of(f"http://{await serve(door=token_door)}{path}") in (401, 404)


async def test_a_client_certificate_is_enough_where_one_is_demanded(serve, ours, authority):
    tls = context_of(ours.issue_server(), client_ca=ours.file)
    (ours.folder / "roles.yaml").write_text("bindings: [{role: viewer, principals: ['*']}]")
    door = Door([VerifiedCertificate()], [RolesFile(ours.folder / "roles.yaml")])
    url = f"https://{await serve(door=door, tls=tls)}/metrics"
    uri = ours.issue("prometheus", UniformResourceIdentifier("spiffe://x/prometheus"))
    eve = authority("theirs").issue("eve")

    assert await status_of(url, tls=trusting(ours, uri)) == 200
    assert await status_of(url, tls=trusting(ours, ours.issue("plain"))) == 200
    assert await status_of(url, tls=trusting(ours, ours.issue("none", common_name=""))) == 401
    for client in (trusting(ours), trusting(ours, eve)):
        with pytest.raises(aiohttp.ClientConnectionError):
            await status_of(url, tls=client)


async def test_a_new_certificate_is_used_by_the_next_connection(serve, ours, authority):
    theirs, files = authority("theirs"), ours.issue_server()
    url = f"https://{await serve(tls=context_of(files))}/metrics"
    async with aiohttp.ClientSession() as http, http.get(url, ssl=trusting(ours)) as answer:
        theirs.issue_server()  # over the files in use

        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await status_of(url, tls=trusting(ours))
        assert await status_of(url, tls=trusting(theirs)) == 200
        assert "rheostat_build_info" in await answer.text(), "the connection before goes on"


async def test_a_client_ca_that_is_replaced_is_forgotten(serve, ours, authority):
    theirs, server = authority("theirs"), ours.issue_server()
    clients = ours.folder / "clients.pem"
    clients.write_bytes(ours.file.read_bytes())
    url = f"https://{await serve(tls=context_of(server, client_ca=clients))}/metrics"
    ada, eve = trusting(ours, ours.issue("ada")), trusting(ours, theirs.issue("eve"))
    assert await status_of(url, tls=ada) == 200

    clients.write_bytes(theirs.file.read_bytes())

    with pytest.raises(aiohttp.ClientConnectionError):
        await status_of(url, tls=ada)
    assert await status_of(url, tls=eve) == 200


@pytest.mark.parametrize(
    ("valid", "ca", "logged"),
    [
        ((-3, -1), "ours", "certificate has expired"),
        ((1, 3), "ours", "certificate is not yet valid"),
        ((-1, 1), "theirs", "unable to get local issuer certificate"),
        (None, "ours", "PEER_DID_NOT_RETURN_A_CERTIFICATE"),
    ],
)
async def test_the_log_says_which_certificate_was_refused_and_why(
    serve, ours, authority, valid, ca, logged
):
    tls = context_of(ours.issue_server(), client_ca=ours.file)
    url = f"https://{await serve(tls=tls)}/metrics"
    issuer = ours if ca == "ours" else authority(ca)
    client = trusting(ours, issuer.issue("ada", valid=valid) if valid else None)
    with capture_logs() as logs, pytest.raises(aiohttp.ClientConnectionError):
        await status_of(url, tls=client)

    assert {(one["event"], one["why"]) for one in logs} == {("handshake.refused", logged)}
    presented = "a client certificate" if valid else "no client certificate"
    assert {(one["over"], one["presented"]) for one in logs} == {("HTTPS", presented)}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_versions_of_tls_that_are_broken_shake_no_hands(serve, ours, version):
    url = f"https://{await serve(tls=context_of(ours.issue_server()))}/healthz"
    old = trusting(ours)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old.minimum_version = old.maximum_version = version

    with pytest.raises(aiohttp.ClientConnectionError):
        await status_of(url, tls=old)


async def test_suites_without_forward_secrecy_are_refused(serve, ours):
    url = f"https://{await serve(tls=context_of(ours.issue_server()))}/healthz"
    weak = trusting(ours)
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.set_ciphers("AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0")

    with pytest.raises(aiohttp.ClientConnectionError):
        await status_of(url, tls=weak)
