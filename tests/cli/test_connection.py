import contextlib

import pytest

from rheostat import client as clients
from rheostat.cli import connection
from rheostat.client import Credentials


class Dialled:
    """Stands for `Client`, and remembers with what it was made."""

    def __init__(self, address, *, credentials=None):
        self.credentials.append(credentials)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def list_runs(self):
        return []


@pytest.fixture
def dialled(monkeypatch):
    """The credentials of each client that a verb opens."""
    monkeypatch.setattr(Dialled, "credentials", [], raising=False)
    monkeypatch.setattr(clients, "Client", Dialled)
    return Dialled.credentials


def test_options_before_the_verb_say_what_is_presented(rheostat, dialled, tmp_path):
    (tmp_path / "token").write_text("rheostat_abc\n")
    options = ["--ca", "ca.pem", "--cert", "me.crt", "--key", "me.key", "--server-name", "inside"]
    done = rheostat(
        *options, "--token-file", tmp_path / "token", "runs", "list", "--address", "a:1"
    )

    assert done.exit_code == 0, done.stderr
    assert dialled == [
        Credentials(
            ca="ca.pem", cert="me.crt", key="me.key", server_name="inside", token="rheostat_abc"
        )
    ]


def test_the_environment_says_the_same_and_options_come_before_it(rheostat, dialled, monkeypatch):
    for name, value in {"CA": "env.pem", "TOKEN": "rheostat_env", "INSECURE": "1"}.items():
        monkeypatch.setenv(f"RHEOSTAT_{name}", value)
    rheostat("runs", "list", "--address", "a:1")
    rheostat("--ca", "ca.pem", "runs", "list", "--address", "a:1")

    assert dialled == [
        Credentials(ca=ca, token="rheostat_env", insecure=True) for ca in ("env.pem", "ca.pem")
    ]


def test_a_daemon_of_the_commands_own_is_shown_nothing(rheostat, dialled, monkeypatch):
    own = connection.Daemon(address="127.0.0.1:1", is_embedded=True)
    monkeypatch.setattr(connection, "find_daemon", lambda *target: contextlib.nullcontext(own))
    rheostat("--ca", "ca.pem", "runs", "list")

    assert dialled == [None]
