import json
import subprocess
import sys

from rheostat.cli import connection, serve
from rheostat.spec.schema import json_schema


def test_version_prints_the_version(rheostat):
    assert rheostat("--version").stdout == "rheostat 0.1.0\n"


def test_schema_prints_the_schema(rheostat):
    assert json.loads(rheostat("schema").stdout) == json_schema()


def test_the_verbs_are_a_promise(rheostat):
    verbs = ["run", "plan", "validate", "schema", "serve", "token", "runs", "lr"]
    out = rheostat("--help").stdout

    assert all(verb in out for verb in verbs)


def test_an_unknown_verb_is_a_usage_error(rheostat):
    assert rheostat("traim").exit_code == 2


def test_address_and_state_dir_may_stand_before_the_verb(client, rheostat, monkeypatch):
    targets = []
    find = connection.find_daemon
    monkeypatch.setattr(connection, "find_daemon", lambda *t: targets.append(t) or find(*t))
    rheostat("--address", "a:1", "lr", "show", "digits")
    rheostat("--address", "a:1", "--state-dir", "s", "lr", "show", "digits", "--address", "b:2")

    assert targets == [("a:1", None), ("b:2", "s")]


def test_address_may_come_from_the_environment(client, rheostat, monkeypatch):
    targets = []
    find = connection.find_daemon
    monkeypatch.setattr(connection, "find_daemon", lambda *t: targets.append(t) or find(*t))
    monkeypatch.setenv("RHEOSTAT_ADDRESS", "c:3")
    rheostat("runs", "list")

    assert targets == [("c:3", None)]


def test_serve_hands_its_options_to_the_daemon(rheostat, monkeypatch, tmp_path):
    from rheostat import app
    from rheostat.settings import Settings

    served = []
    monkeypatch.setattr(app, "serve", served.append)
    options = ["--state-dir", tmp_path, "--address", "127.0.0.1:0", "--log-format", "json"]
    result = rheostat("serve", *options, "--max-concurrent-runs", "2")

    assert result.exit_code == 0, result.stderr
    assert served == [
        Settings(
            state_dir=tmp_path,
            address="127.0.0.1:0",
            metrics_address=serve.DEFAULT_METRICS_ADDRESS,
            max_concurrent_runs=2,
            log_format="json",
            log_level="info",
        )
    ]


def test_every_option_of_serve_has_a_variable(rheostat, monkeypatch, tmp_path):
    from rheostat import app
    from rheostat.settings import Settings

    served = []
    monkeypatch.setattr(app, "serve", served.append)
    given = {
        "state_dir": tmp_path,
        "address": "0.0.0.0:1",
        "metrics_address": "0.0.0.0:2",
        "health_address": "0.0.0.0:3",
        "tls_cert": tmp_path / "tls.crt",
        "tls_key": tmp_path / "tls.key",
        "tls_client_ca": tmp_path / "ca.crt",
        "tokens": tmp_path / "tokens",
        "insecure": True,
        "specs": tmp_path / "specs",
        "max_concurrent_runs": 3,
        "drain_seconds": 4.5,
        "log_format": "json",
        "log_level": "warning",
    }
    for name, value in given.items():
        monkeypatch.setenv(f"RHEOSTAT_{name.upper()}", str(value))
    result = rheostat("serve")

    assert result.exit_code == 0, result.stderr
    assert served == [Settings(**given)]


def test_help_needs_neither_torch_nor_grpc_nor_numpy():
    code = (
        "import sys; from rheostat.cli.main import app;"
        "heavy = ('torch', 'grpc', 'matplotlib', 'aiohttp', 'numpy', 'structlog');"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
