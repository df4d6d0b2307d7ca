import contextlib

import pytest

from rheostat import client as clients
from rheostat.cli import connection
from rheostat.client import Credentials


class Dialled:
    """Stands for `Client`, and remembers with what it was made."""

    def __init__(self, address, *, credentials=None, principal=""):
        self.addresses.append(address)
        self.credentials.append(credentials)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def list_runs(self):
        return []


@pytest.fixture
def dialled(monkeypatch):
    """What each client that a verb opens is made with."""
    monkeypatch.setattr(Dialled, "addresses", [], raising=False)
    monkeypatch.setattr(Dialled, "credentials", [], raising=False)
    monkeypatch.setattr(clients, "Client", Dialled)
    return Dialled


def test_options_before_the_verb_say_what_is_presented(rheostat, dialled, tmp_path):
    (tmp_path / "token").write_text("rheostat_abc\n")
    options = ["--ca", "ca.pem", "--cert", "me.crt", "--key", "me.key", "--server-name", "inside"]
    done = rheostat(
        *options, "--token-file", tmp_path / "token", "runs", "list", "--address", "a:1"
    )

    assert done.exit_code == 0, done.stderr
    assert dialled.credentials == [
        Credentials(
            ca="ca.pem", cert="me.crt", key="me.key", server_name="inside", token="rheostat_abc"
        )
    ]


def test_the_environment_says_the_same_and_options_come_before_it(rheostat, dialled, monkeypatch):
    for name, value in {"CA": "env.pem", "TOKEN": "rheostat_env", "INSECURE": "1"}.items():
        monkeypatch.setenv(f"RHEOSTAT_{name}", value)
    rheostat("runs", "list", "--address", "a:1")
    rheostat("--ca", "ca.pem", "runs", "list", "--address", "a:1")

    assert dialled.credentials == [
        Credentials(ca=ca, token="rheostat_env", insecure=True) for ca in ("env.pem", "ca.pem")
    ]


@pytest.mark.parametrize(
    ("before", "after", "asked"),
    [
        ([], [], "env:1"),
        (["--address", "before:1"], [], "before:1"),
        ([], ["--address", "after:1"], "after:1"),
        (["--address", "before:1"], ["--address", "after:1"], "after:1"),
    ],
)
def test_an_address_after_the_verb_counts_most_and_the_environment_least(
    rheostat, dialled, monkeypatch, before, after, asked
):
    monkeypatch.setenv("RHEOSTAT_ADDRESS", "env:1")
    rheostat(*before, "runs", "list", *after)

    assert dialled.addresses == [asked]


def test_a_daemon_of_the_commands_own_is_shown_nothing(rheostat, dialled, monkeypatch):
    own = connection.Daemon(address="127.0.0.1:1", is_embedded=True)
    monkeypatch.setattr(connection, "find_daemon", lambda *target: contextlib.nullcontext(own))
    rheostat("--ca", "ca.pem", "runs", "list")

    assert dialled.credentials == [None]
