import pytest
from cryptography.x509 import DNSName

from rheostat.api.server import ApiServer
from rheostat.client import Client, Credentials
from rheostat.door.tls import TlsFiles
from rheostat.errors import InvalidRequest, Unreachable

TOKEN = "rheostat_abc"
AUTHORIZATION = (("authorization", f"Bearer {TOKEN}"),)


@pytest.fixture
async def serve(service):
    """Start a control plane with a certificate."""
    servers = []

    async def start(files):
        certificates = TlsFiles(cert=files.cert, key=files.key).watched()
        servers.append(ApiServer(service, address="127.0.0.1:0", certificates=certificates))
        return await servers[-1].start()

    yield start
    for server in servers:
        await server.stop(0)


async def test_both_clients_speak_tls(ask, ours, serve):
    address = await serve(ours.issue_server())
    client = ask.dial(address, credentials=Credentials(ca=ours.file))

    assert (await ask("get_run", "digits", of=client)).name == "digits"
    assert [one.run for one in await ask("watch_run", "digits", of=client)] == ["digits"] * 3


async def test_a_daemon_behind_a_tunnel_is_known_by_the_name_it_is_asked_for(ask, ours, serve):
    address = await serve(ours.issue("inside", DNSName("rheostat.ml.svc")))
    by_address = ask.dial(address, credentials=Credentials(ca=ours.file))
    by_name = ask.dial(
        address, credentials=Credentials(ca=ours.file, server_name="rheostat.ml.svc")
    )

    with pytest.raises(Unreachable, match="--server-name a name in it"):
        await ask("get_run", "digits", of=by_address)
    assert (await ask("get_run", "digits", of=by_name)).name == "digits"


def test_the_environment_says_what_is_presented(tmp_path):
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    found = Credentials.from_environment(
        {
            "RHEOSTAT_CA": "ca.pem",
            "RHEOSTAT_CERT": "me.crt",
            "RHEOSTAT_KEY": "me.key",
            "RHEOSTAT_SERVER_NAME": "rheostat.ml.svc",
            "RHEOSTAT_TOKEN": "another",
            "RHEOSTAT_TOKEN_FILE": str(tmp_path / "token"),
            "RHEOSTAT_INSECURE": "true",
        }
    )

    assert found == Credentials(
        ca="ca.pem",
        cert="me.crt",
        key="me.key",
        server_name="rheostat.ml.svc",
        token=TOKEN,
        insecure=True,
    )
    assert Credentials.from_environment({}) == Credentials()
    assert Credentials.from_environment({"RHEOSTAT_TOKEN": TOKEN}) == Credentials(token=TOKEN)


@pytest.mark.parametrize("content", [None, "", " \n"])
def test_a_token_file_without_a_token_is_refused_with_its_path(tmp_path, content):
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)

    with pytest.raises(InvalidRequest, match=f"token_file = {file}: a"):
        Credentials.from_environment({"RHEOSTAT_TOKEN_FILE": str(file)})


def test_a_token_is_shown_to_no_network_unless_asked_for():
    far, near = "rheostat.ml.svc:50051", "127.0.0.1:50051"

    with pytest.raises(InvalidRequest, match=rf"address = {far}: .*--ca"):
        Client(far, credentials=Credentials(token=TOKEN))
    assert Credentials(token=TOKEN).metadata(near) == AUTHORIZATION
    assert Credentials(token=TOKEN, ca="ca.pem").metadata(far) == AUTHORIZATION
    assert Credentials(token=TOKEN, insecure=True).metadata(far) == AUTHORIZATION


@pytest.mark.parametrize("token", ["two words", "na\u00efve", "line\nbreak"])
def test_a_token_that_cannot_travel_is_refused_and_not_shown(token):
    with pytest.raises(InvalidRequest, match="token: what `rheostat token` prints") as refused:
        Client("127.0.0.1:1", credentials=Credentials(token=token))

    assert token not in str(refused.value)
    assert token not in repr(Credentials(token=token))


@pytest.mark.parametrize(
    ("given", "field"), [({"cert": "me.crt"}, "cert"), ({"key": "me.key"}, "key")]
)
def test_half_of_a_pair_is_refused(given, field):
    with pytest.raises(
        InvalidRequest, match=rf"{field} = me.*certificate and private key together"
    ):
        Client("127.0.0.1:1", credentials=Credentials(**given))


def test_a_missing_ca_is_refused_with_its_path(tmp_path):
    with pytest.raises(InvalidRequest, match=f"ca = {tmp_path}/ca.pem: a readable file"):
        Client("127.0.0.1:1", credentials=Credentials(ca=tmp_path / "ca.pem"))
