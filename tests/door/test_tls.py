import subprocess

import pytest
from structlog.testing import capture_logs

from rheostat.door.tls import TlsFiles
from rheostat.errors import InvalidRequest


def test_files_that_belong_together_are_read(ours):
    server = ours.issue_server()

    read = TlsFiles(cert=server.cert, key=server.key, client_ca=ours.file).load()

    assert read.chain == server.cert.read_bytes()
    assert read.client_ca == ours.file.read_bytes()
    assert b"PRIVATE" not in repr(read).encode()


def test_the_key_of_another_certificate_is_refused(ours):
    server, other = ours.issue_server(), ours.issue("other")

    with pytest.raises(InvalidRequest, match=f"tls_cert = {server.cert}: .*{other.key} is the key"):
        TlsFiles(cert=server.cert, key=other.key).load()


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(ours, tmp_path):
    server, locked = ours.issue_server(), tmp_path / "locked.key"
    command = ("openssl", "pkcs8", "-topk8", "-in", server.key, "-out", locked)
    subprocess.run((*command, "-passout", "pass:secret"), check=True)

    with pytest.raises(InvalidRequest, match="is the key, unencrypted"):
        TlsFiles(cert=server.cert, key=locked).load()


@pytest.mark.parametrize("content", [None, b"", b"not PEM"])
def test_a_client_ca_that_is_none_is_refused_with_its_path(ours, tmp_path, content):
    server, file = ours.issue_server(), tmp_path / "clients.pem"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(InvalidRequest, match=f"tls_client_ca = {file}: the certificates of CAs"):
        TlsFiles(cert=server.cert, key=server.key, client_ca=file).load()


def test_half_of_a_rotation_changes_nothing_and_the_other_half_completes_it(ours):
    server = ours.issue_server()
    watched = TlsFiles(cert=server.cert, key=server.key).watched()
    old, new = watched.current(), ours.issue_server("new")

    server.cert.write_bytes(new.cert.read_bytes())
    with capture_logs() as logs:
        assert watched.current() is old
    assert [one["event"] for one in logs] == ["files.not_reloaded"]
    server.key.write_bytes(new.key.read_bytes())

    assert watched.current().chain == new.cert.read_bytes()
    assert watched.current() is watched.current(), "nothing is read twice"
