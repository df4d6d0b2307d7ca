"""Who may call a real daemon, and under which name what they change is written down."""

import json
import ssl
import subprocess
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest
from tests.conftest import Authority

from rheostat.client import Client, Credentials
from rheostat.door.roles import Role
from rheostat.door.tokens import new_token
from rheostat.errors import Unauthenticated, Unreachable

from .conftest import living_daemon

HASTY = ("--drain-seconds", "0")
"""What a daemon is told whose runs nobody cares for."""


@pytest.fixture
def tokens(tmp_path):
    """Name whoever has a token from now on: `tokens("ada")` returns theirs by name."""
    file = tmp_path / "tokens"
    known = {}

    def write(*names):
        known.update({name: new_token(name, Role.ADMIN) for name in names if name not in known})
        file.write_text("".join(f"{known[name].line}\n" for name in names))
        return {name: known[name].token for name in names}

    write.file = file
    return write


class Served:
    """A daemon with TLS that knows the tokens of ada and tester, and is called by tester."""

    def __init__(self, folder):
        self.folder = folder
        self.ours = Authority(folder, "ours")
        self.tokens = {name: new_token(name, Role.ADMIN) for name in ("ada", "tester")}
        self.ada, self.tester = (
            Credentials(ca=self.ours.file, token=one.token) for one in self.tokens.values()
        )
        self.know("ada", "tester")
        server = self.ours.issue_server()
        self.options = ("--tls-cert", server.cert, "--tls-key", server.key)
        self.options += ("--tokens", folder / "tokens")

    def know(self, *names):
        """Let these names have a token from now on, and no others."""
        lines = "".join(f"{self.tokens[name].line}\n" for name in names)
        (self.folder / "tokens").write_text(lines)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """That daemon, and a run that trains there."""
    served = Served(tmp_path_factory.mktemp("served"))
    with (
        living_daemon(
            served.folder / "state", *served.options, credentials=served.tester
        ) as served.daemon,
        served.daemon.training() as served.run,
    ):
        yield served


def test_a_decision_names_whose_token_came_with_it(served):
    run, known = served.run, len(served.run.history)
    with Client(served.daemon.address, principal="root@there", credentials=served.ada) as ada:
        run.change("scale", 0.5, client=ada, reason="by ada")
        run.change("scale", 2.0, reason="by tester")
        served.know("tester")
        with pytest.raises(Unauthenticated):
            run.change("scale", 0.5, client=ada, reason="not any more")
        served.know("ada", "tester")

    assert [(one.decision.principal, one.decision.reason) for one in run.history[known:]] == [
        ("ada", "by ada"),
        ("tester", "by tester"),
    ]
    assert run.view.principal == "tester"


def test_a_second_terminal_steers_with_what_its_environment_holds(served, ask, tmp_path):
    run, revision = served.run, served.run.view.revision
    (tmp_path / "token").write_text(served.ada.token)
    shell = {
        "RHEOSTAT_ADDRESS": served.daemon.address,
        "RHEOSTAT_CA": str(served.ours.file),
        "RHEOSTAT_TOKEN_FILE": str(tmp_path / "token"),
    }
    done = ask("lr", "scale", run.name, "0.5", "--json", variables=shell)
    unknown = ask("lr", "show", run.name, variables=shell | {"RHEOSTAT_TOKEN_FILE": ""})
    untrusting = ask("runs", "list", variables={"RHEOSTAT_ADDRESS": served.daemon.address})

    assert json.loads(done.stdout)["revision"] == revision + 1, done.stderr
    assert run.history[revision].decision.principal == "ada"
    assert (unknown.returncode, "RHEOSTAT_TOKEN" in unknown.stderr) == (1, True)
    assert (untrusting.returncode, "--ca" in untrusting.stderr) == (3, True)


def test_a_stream_goes_on_while_the_certificate_is_renewed(served):
    theirs = Authority(served.folder, "theirs")
    events = served.daemon.client.watch_run(served.run.name)
    next(events)
    theirs.issue_server()  # over the files in use
    renewed = Credentials(ca=theirs.file, token=served.ada.token)
    with Client(served.daemon.address, credentials=renewed) as ada:
        assert ada.get_run(served.run.name).name == served.run.name
    assert all(next(events).run == served.run.name for _ in range(3))
    served.ours.issue_server()


def test_metrics_want_https_and_a_token(served):
    trusting = ssl.create_default_context(cafile=served.ours.file)
    page = f"https://{served.daemon.metrics_address}/metrics"
    with pytest.raises(HTTPError, match="401"):
        urlopen(page, context=trusting)
    bearer = {"Authorization": f"Bearer {served.ada.token}"}
    with urlopen(Request(page, headers=bearer), context=trusting) as answer:
        assert b"rheostat_build_info" in answer.read()


@pytest.mark.parametrize("lacking", ["everything", "tokens", "certificate"])
def test_an_address_for_everybody_needs_tls_and_proof(rheostat, ours, tokens, lacking):
    server = ours.issue_server()
    tokens("ada")
    certificate = ("--tls-cert", server.cert, "--tls-key", server.key)
    given = {"everything": (), "tokens": certificate, "certificate": ("--tokens", tokens.file)}
    done = rheostat("serve", "--address", "0.0.0.0:0", *given[lacking])

    assert done.returncode == 2
    assert "address = 0.0.0.0:0: a loopback address" in done.stderr
    assert "--insecure" in done.stderr


def test_an_address_for_everybody_is_taken_with_both_or_on_demand(start_daemon, ours, tokens):
    server = ours.issue_server()
    everywhere = ("--address", "0.0.0.0:0", "--metrics-address", "0.0.0.0:0")
    certificate = ("--tls-cert", server.cert, "--tls-key", server.key)
    token = tokens("ada")["ada"]
    ada = Credentials(ca=ours.file, token=token, server_name="localhost")
    exposed = start_daemon(*everywhere, *certificate, "--tokens", tokens.file, credentials=ada)
    assert exposed.client.list_runs() == []
    assert exposed.terminate() == 0
    open_to_all = start_daemon(*everywhere, "--insecure")
    assert open_to_all.client.list_runs() == []
    assert open_to_all.metric("rheostat_insecure") == 1
    assert open_to_all.terminate() == 0
    needless = start_daemon("--insecure")
    assert needless.metric("rheostat_insecure") == 1

    # All daemons write to one log, and the first one has nothing to warn of.
    warned = [one for one in needless.events if one["event"] == "daemon.insecure"]
    assert [one["addresses"] for one in warned] == [["0.0.0.0:0", "0.0.0.0:0"], []]


def test_the_log_says_which_certificate_was_refused_and_why_and_the_reply_does_not(
    start_daemon, ours, authority, tmp_path
):
    (tmp_path / "roles").write_text("bindings: [{role: viewer, principals: ['*']}]")
    server, tester = ours.issue_server(), ours.issue("tester")
    daemon = start_daemon(
        *("--tls-cert", server.cert, "--tls-key", server.key, "--tls-client-ca", ours.file),
        *("--roles", tmp_path / "roles"),
        credentials=Credentials(ca=ours.file, **vars(tester)),
    )
    refused = {
        "certificate has expired": ours.issue("expired", valid=(-3, -1)),
        "certificate is not yet valid": ours.issue("early", valid=(1, 3)),
        "unable to get local issuer certificate": authority("theirs").issue("eve"),
    }
    replies = []
    for pair in refused.values():
        credentials = Credentials(ca=ours.file, **vars(pair))
        with (
            Client(daemon.address, credentials=credentials) as client,
            pytest.raises(Unreachable) as reply,
        ):
            client.list_runs()
        replies.append(str(reply.value))
        context = ssl.create_default_context(cafile=ours.file)
        context.load_cert_chain(pair.cert, pair.key)
        with pytest.raises((URLError, ssl.SSLError, ConnectionError)):
            urlopen(f"https://{daemon.metrics_address}/metrics", context=context)
    assert daemon.client.list_runs() == []

    found = [one for one in daemon.events if one["event"] == "handshake.refused"]
    assert {(one["over"], one["presented"], one["why"]) for one in found} == {
        (over, "a client certificate", why) for over in ("gRPC", "HTTPS") for why in refused
    }
    assert all(line.startswith("{") for line in daemon.log.read_text().splitlines())
    assert not any(word in reply for reply in replies for word in ("expired", "valid", "issuer"))


def test_a_file_that_makes_no_sense_is_refused_at_the_start(rheostat, tmp_path):
    (tmp_path / "tokens").write_text("ada hunter2\n")
    done = rheostat("serve", "--tokens", tmp_path / "tokens")

    assert done.returncode == 2
    assert f"{tmp_path}/tokens, line 1" in done.stderr
    assert "hunter2" not in done.stderr


def test_probes_are_answered_in_the_clear_until_the_end(start_daemon, ours, tokens, wait_until):
    server = ours.issue_server()
    daemon = start_daemon(
        *("--tls-cert", server.cert, "--tls-key", server.key, "--health-address", "127.0.0.1:0"),
    )
    [ready] = [one for one in daemon.events if one["event"] == "health.ready"]

    def status(path):
        try:
            with urlopen(f"http://{ready['address']}{path}") as answer:
                return answer.status
        except HTTPError as error:
            return error.code

    assert [status(path) for path in ("/healthz", "/readyz", "/metrics")] == [200, 200, 404]


def test_runs_that_do_not_end_in_time_are_ended(start_daemon, is_alive):
    daemon = start_daemon(*HASTY)
    run = daemon.create()
    run.advance(1)
    trainer = run.view.pid

    assert daemon.terminate() == 0
    assert not is_alive(trainer)


def test_a_folder_of_specs_makes_each_run_once(start_daemon, spec_file, tmp_path):
    folder = tmp_path / "specs"
    folder.mkdir()
    first = spec_file(name="first", train={"steps": 5})
    first.rename(folder / "1.json")
    second = spec_file(name="second", train={"steps": 5})
    second.rename(folder / "2.json")
    (folder / "3.yaml").write_text("name: [broken")
    daemon = start_daemon(*HASTY, "--specs", folder)
    before = [(view.name, view.principal) for view in daemon.client.list_runs()]
    daemon.terminate()

    daemon = start_daemon(*HASTY, "--specs", folder)
    after = [view.name for view in daemon.client.list_runs()]
    (folder / "2.json").write_text((folder / "2.json").read_text().replace("second", "other"))
    daemon.terminate()
    daemon = start_daemon(*HASTY, "--specs", folder)

    assert before == [("first", "specs"), ("second", "specs")]
    assert after == ["first", "second"]
    assert [view.name for view in daemon.client.list_runs()] == ["first", "second", "other"]
    assert [one["file"][-6:] for one in daemon.events if one["event"] == "spec.refused"] == [
        "3.yaml"
    ] * 3


def test_a_token_for_the_file_is_made_by_the_command_line(start_daemon, ask, tmp_path):
    made = json.loads(ask("token", "ada", "--role", "admin", "--json").stdout)
    (tmp_path / "tokens").write_text(made["line"])
    credentials = Credentials(token=made["token"])
    daemon = start_daemon(*HASTY, "--tokens", tmp_path / "tokens", credentials=credentials)

    assert daemon.create(train={"steps": 1}).view.principal == "ada"


def test_the_steps_of_the_security_page_work(start_daemon, tmp_path):
    """CA, certificates and all, as `docs/security.md` has them made with openssl."""
    page = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    script = page.partition("```sh\n# A CA")[2].partition("```")[0]
    subprocess.run(
        ["bash", "-euc", f"# A CA{script}"], cwd=tmp_path, check=True, capture_output=True
    )
    files = {"ca": "ca.crt", "cert": "ada.crt", "key": "ada.key"}
    ada = Credentials(**{name: tmp_path / file for name, file in files.items()})
    roles = page.partition("```yaml\n# roles")[2].partition("```")[0]
    (tmp_path / "roles.yaml").write_text(f"# roles{roles}")
    daemon = start_daemon(
        *("--tls-cert", tmp_path / "server.crt", "--tls-key", tmp_path / "server.key"),
        *("--tls-client-ca", tmp_path / "ca.crt", "--roles", tmp_path / "roles.yaml"),
        *HASTY,
        credentials=ada,
    )

    assert daemon.create(train={"steps": 1}).view.principal == "spiffe://example.org/ada"
