import pytest
from structlog.testing import capture_logs

from rheostat.door.addresses import is_loopback
from rheostat.door.authenticating import Door, VerifiedCertificate, open_door
from rheostat.door.identity import CertificateNames, Presented, Proof, bearer_token
from rheostat.door.tokens import TokenFile, new_token
from rheostat.errors import Unauthenticated

ADA = CertificateNames(common_name="ada")


@pytest.mark.parametrize(
    ("names", "subject"),
    [
        (CertificateNames(uris=("spiffe://x/a", "b"), dns=("c",), common_name="d"), "spiffe://x/a"),
        (CertificateNames(dns=("ada.example", "b"), emails=("c",), common_name="d"), "ada.example"),
        (CertificateNames(emails=("ada@example.org",), common_name="d"), "ada@example.org"),
        (ADA, "ada"),
        (CertificateNames(), ""),
    ],
)
def test_a_certificate_names_its_subject_by_uri_dns_email_or_common_name(names, subject):
    assert names.subject == subject


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("Bearer", ""),
        ("Basic YTpi", None),
        ("", None),
        ("Bearerabc", None),
    ],
)
def test_a_bearer_token_is_read_from_its_header(header, token):
    assert bearer_token(header) == token


async def test_a_door_without_proofs_believes_what_callers_say():
    said = await open_door().identify(Presented(peer="ipv4:1", claim="ada@vm"), to="x")
    silent = await open_door().identify(Presented(peer="ipv4:1"), to="x")
    unprintable = await open_door().identify(Presented(peer="ipv4:1", claim="a\nb"), to="x")

    assert (said.principal, said.proof) == ("ada@vm", Proof.CLAIM)
    assert silent.principal == unprintable.principal == "ipv4:1"


async def test_a_token_counts_before_a_certificate(tmp_path):
    made = new_token("robot")
    (tmp_path / "tokens").write_text(made.line)
    door = Door([TokenFile(tmp_path / "tokens"), VerifiedCertificate()])

    both = await door.identify(Presented(peer="p", token=made.token, certificate=ADA), to="x")
    one = await door.identify(Presented(peer="p", certificate=ADA, claim="root"), to="x")

    assert (both.principal, both.proof) == ("robot", Proof.TOKEN)
    assert (one.principal, one.proof) == ("ada", Proof.CERTIFICATE)


@pytest.mark.parametrize(
    ("presented", "logged"),
    [
        (Presented(peer="p", token="guess", certificate=ADA), "a bearer token that is not known"),
        (Presented(peer="p", certificate=CertificateNames()), "a certificate without a name"),
        (Presented(peer="p", certificate=CertificateNames(uris=("a\0b",))), "without a name"),
        (Presented(peer="p", claim="ada"), "neither a bearer token nor a client certificate"),
    ],
)
async def test_whom_nobody_knows_is_refused_and_only_the_log_says_why(tmp_path, presented, logged):
    (tmp_path / "tokens").write_text("")
    door = Door([TokenFile(tmp_path / "tokens"), VerifiedCertificate()])

    with (
        capture_logs() as logs,
        pytest.raises(Unauthenticated, match="present a bearer token") as refused,
    ):
        await door.identify(presented, to="/rheostat.v1.Runs/GetRun")

    [told] = logs
    assert logged in told["presented"]
    assert (told["to"], told["peer"]) == ("/rheostat.v1.Runs/GetRun", "p")
    assert "guess" not in f"{told} {refused.value} {presented!r}"


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:1", "127.8.0.1:1", "[::1]:1", "localhost:1", "unix:/run/rheostat.sock"],
)
def test_an_address_of_this_machine_alone_is_loopback(address):
    assert is_loopback(address)


@pytest.mark.parametrize(
    "address",
    ["0.0.0.0:1", "[::]:1", ":1", "", "10.0.0.1:1", "localhost.example:1", "127.0.0.1.example:1"],
)
def test_an_address_that_others_can_reach_is_not(address):
    assert not is_loopback(address)
