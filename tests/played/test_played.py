"""A release of the chart becomes a pod that trains, whose learning rate people change and watch.

Two scenarios of the chart: the quick start, open to everybody in the cluster and installed by the
newest Helm, and the one with a certificate and bearer tokens, by Helm 3.
"""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from ruamel.yaml import YAML

RHEOSTAT = Path(sys.executable).with_name("rheostat")
SERVICE = "demo-rheostat.ml.svc"
TEST_POD = "demo-rheostat-test"
SELF_SIGNED = (
    *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
    *("-days", "1", "-subj", "/CN=demo", "-addext", f"subjectAltName=DNS:{SERVICE}"),
)
SCRAPE_SECONDS = 1
HELD = 0.000123
"""An LR that no schedule gives."""


# --- two releases ------------------------------------------------------------------------------


class Access(NamedTuple):
    """How one gets in."""

    terminal: dict
    """Environment of a terminal."""
    scrape: dict
    """Settings of a Prometheus job."""
    tester: str
    """Principal of what `helm test` does."""


def quickstart(namespace, folder):
    """Return Helm's options, and how one gets in: without proving anything."""
    options = ("-f", f"{namespace.chart}/ci/quickstart-values.yaml")
    return options, Access({}, {}, tester=f"rheostat@{TEST_POD}")


def tls_tokens(namespace, folder):
    """Return Helm's options, and how one gets in: with a token, and the daemon's certificate."""
    certificate, key = folder / "tls.crt", folder / "tls.key"
    command = [*SELF_SIGNED, "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)
    files = {"tls.crt": certificate.read_text(), "tls.key": key.read_text()}
    files["ca.crt"] = files["tls.crt"]  # it has signed itself
    namespace.create("Secret", "rheostat-certificate", stringData=files)

    tokens = {
        "ada": rheostat("token", "ada", "--role", "operator"),
        "prometheus": rheostat("token", "prometheus", "--role", "viewer"),
        "helm-test": rheostat("token", "helm-test"),  # the scenario's roles know it
    }
    for name, token in tokens.items():
        (folder / name).write_text(token["token"])
    test_token = {"token": tokens["helm-test"]["token"]}
    namespace.create("Secret", "rheostat-test-token", stringData=test_token)

    quick = YAML(typ="safe", pure=True).load(namespace.chart / "ci/quickstart-values.yaml")
    values = {
        "auth": {"tokens": {"lines": [token["line"] for token in tokens.values()]}},
        "monitoring": quick["monitoring"],
        "runs": quick["runs"],
    }
    (folder / "values.json").write_text(json.dumps(values))
    scenario = f"{namespace.chart}/ci/tls-tokens-values.yaml"
    terminal = {
        "RHEOSTAT_CA": str(certificate),
        "RHEOSTAT_SERVER_NAME": SERVICE,
        "RHEOSTAT_TOKEN_FILE": str(folder / "ada"),
    }
    scrape = {
        "tls_config": {"ca_file": str(certificate), "server_name": SERVICE},
        "authorization": {"credentials_file": str(folder / "prometheus")},
    }
    options = ("-f", scenario, "-f", folder / "values.json")
    return options, Access(terminal, scrape, tester="helm-test")


def rheostat(*arguments, **environment):
    """Run the command line on this machine, and return its answer."""
    done = subprocess.run(
        [RHEOSTAT, *arguments, "--json"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class Release(NamedTuple):
    """A release `demo` on the API server."""

    helm: Callable
    """Runs the Helm that has installed it."""
    access: Access


@pytest.fixture(
    scope="module",
    params=[(quickstart, 0), (tls_tokens, 1)],
    ids=["quickstart by the newest helm", "tls-tokens by helm 3"],
)
def release(request, namespace, helms, tmp_path_factory):
    """Each release in turn."""
    prepare, binary = request.param
    options, access = prepare(namespace, tmp_path_factory.mktemp("scenario"))
    helm = partial(namespace.helm, helms[binary])
    helm("install", "demo", namespace.chart, *options)
    yield Release(helm, access)
    helm("uninstall", "demo")
    namespace.delete("Pod", TEST_POD)  # Helm has left it if it failed


@pytest.fixture(scope="module")
def daemon(release, namespace, play):
    """The daemon's pod, made of the StatefulSet that the API server has."""
    template = namespace.read("StatefulSet", "demo-rheostat")["spec"]["template"]
    with play("demo-rheostat-0", template["spec"]) as pod:
        yield pod


@pytest.fixture(scope="module")
def terminal(release, daemon):
    """A second terminal, in which people type once the run is running."""

    daemon.wait_for("run.running")
    return partial(rheostat, RHEOSTAT_ADDRESS=daemon.endpoint("grpc"), **release.access.terminal)


class Prometheus:
    """A Prometheus, asked for the samples that it took."""

    def __init__(self, address):
        self._url = f"http://{address}/api/v1/query"

    def samples(self, series):
        """Return the time and the value of each sample of a series."""
        query = urlencode({"query": f"{series}[10m]"})
        try:
            with urlopen(f"{self._url}?{query}") as answer:
                found = json.load(answer)["data"]["result"]
        except URLError:
            return []
        return [(time, float(value)) for one in found for time, value in one["values"]]


@pytest.fixture(scope="module")
def prometheus(release, namespace, daemon, prometheus_command, run_beside, tmp_path_factory):
    """A Prometheus that scrapes the pod, as the metrics Service says by its annotations."""
    service = namespace.read("Service", "demo-rheostat-metrics")
    job = {
        "job_name": "rheostat",
        "scheme": service["metadata"]["annotations"]["prometheus.io/scheme"],
        "static_configs": [{"targets": [daemon.endpoint("metrics")]}],
        **release.access.scrape,
    }
    every = {"scrape_interval": f"{SCRAPE_SECONDS}s"}
    folder = tmp_path_factory.mktemp("prometheus")
    settings = folder / "prometheus.json"
    settings.write_text(json.dumps({"global": every, "scrape_configs": [job]}))
    address = f"127.0.0.1:{free_port()}"
    command = [prometheus_command, f"--config.file={settings}", f"--web.listen-address={address}"]
    command += [f"--storage.tsdb.path={folder}/data", "--log.level=warn"]
    with (folder / "log").open("w") as log, run_beside(command, stdout=log, stderr=log):
        yield Prometheus(address)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# --- the story ---------------------------------------------------------------------------------


def test_a_kubelet_finds_the_pod_started_alive_and_ready(daemon, terminal):
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = daemon.container[probe]["httpGet"]
        with urlopen(f"http://{daemon.endpoint(asked['port'])}{asked['path']}") as answer:
            assert answer.status == 200


def test_it_trains_without_a_right_that_it_does_not_need(daemon, terminal):
    lines = daemon.execute("cat", "/proc/1/status").splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    written = daemon.execute("sh", "-c", "touch /new /opt/new /etc/new 2> /dev/null || echo none")

    assert status["Uid"].split() == status["Gid"].split() == ["10001"] * 4
    assert {int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == {0}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert written == "none"


def test_prometheus_sees_within_two_scrapes_what_a_second_terminal_changes(
    terminal, prometheus, eventually
):
    series = 'rheostat_learning_rate{run="digits"}'
    eventually(lambda: prometheus.samples(series), "the run is scraped")

    terminal("lr", "hold", "digits", str(HELD))
    changed_at = time.time()

    def next_two():
        later = [value for taken_at, value in prometheus.samples(series) if taken_at > changed_at]
        return later[:2] if len(later) >= 2 else None

    assert HELD in eventually(next_two, "it is scraped twice")
    terminal("lr", "release", "digits")


def test_helm_test_passes(release, namespace, daemon, terminal, play, eventually):
    with ThreadPoolExecutor() as beside:
        told = beside.submit(release.helm, "test", "demo", "--timeout=60s")
        made = eventually(lambda: namespace.read("Pod", TEST_POD), "Helm has made the pod")
        with play(TEST_POD, made["spec"], {SERVICE: daemon.address}) as pod:
            exit_code = pod.wait()
            log = pod.log
        namespace.report(TEST_POD, "Succeeded" if exit_code == 0 else "Failed")

    assert "halved, read back, and undone" in log
    assert re.search(r"Phase: +Succeeded", told.result())
    history = terminal("lr", "history", "digits")
    tested_by = {one["principal"] for one in history if one["reason"].startswith("helm test")}
    assert tested_by == {release.access.tester}


def test_it_ends_cleanly_within_its_grace_period(daemon, terminal):
    """The last one, since nothing lives after it."""
    assert daemon.end() == 0
    told = [json.loads(line)["event"] for line in daemon.log.splitlines()]
    # Put by, to be gone on with by the next pod.
    assert [one for one in told if one in {"run.ended", "run.suspended"}] == ["run.suspended"]
    assert told[-1] == "daemon.stopped"
