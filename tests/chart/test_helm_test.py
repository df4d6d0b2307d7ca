"""The pod of `helm test`, and what it runs: the script, here against a real daemon."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

OPEN = {"exposed": True, "insecure": True}


def environment(pod):
    return {one["name"]: one.get("value") for one in pod["spec"]["containers"][0]["env"]}


def test_it_is_a_hook_that_asks_the_service(render):
    pod = render.one("Pod", {**OPEN, "service": {"port": 443}})

    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert environment(pod)["RHEOSTAT_ADDRESS"] == "demo-rheostat.ml.svc:443"
    assert pod["spec"]["restartPolicy"] == "Never"
    assert "RHEOSTAT_CA" not in environment(pod)


def test_it_brings_what_the_daemon_asks_for(render, scenario_values):
    pod = render.one("Pod", scenario_values("hardened"))
    secrets = {
        one["name"]: one["secret"]["secretName"]
        for one in pod["spec"]["volumes"]
        if "secret" in one
    }

    assert secrets == {
        "ca": "rheostat-certificate",
        "client": "rheostat-test-certificate",
        "token": "rheostat-test-token",
    }
    assert {"RHEOSTAT_CA", "RHEOSTAT_CERT", "RHEOSTAT_KEY", "RHEOSTAT_TOKEN_FILE"} < set(
        environment(pod)
    )


@pytest.mark.parametrize(
    "values",
    [
        {},
        {**OPEN, "tests": {"enabled": False}},
        {
            "exposed": True,
            "tls": {"existingSecret": "a"},
            "auth": {"tokens": {"existingSecret": "b"}},
        },
        {
            "exposed": True,
            "tls": {"existingSecret": "a"},
            "auth": {
                "clientCA": {"existingSecret": "b"},
                "roles": {"existingConfigMap": "r"},
            },
        },
    ],
)
def test_where_it_could_not_get_in_there_is_none(render, values):
    assert "Pod" not in [document["kind"] for document in render(values)]


@pytest.fixture
def daemon(render, scenario_values, tmp_path):
    """Start the daemon of the quick start as the chart does; return the environment of a caller."""
    values = scenario_values("quickstart")
    specs = tmp_path / "specs"
    specs.mkdir()
    for name, text in render.one("ConfigMap", values, suffix="-runs")["data"].items():
        (specs / name).write_text(text)
    ports = {port: free_port() for port in ("50051", "9464", "9465")}
    arguments = [
        argument.replace("/etc/rheostat/specs", str(specs)).replace("0.0.0.0", "127.0.0.1")
        for argument in render.daemon(values)["args"]
    ]
    for port, free in ports.items():
        arguments = [argument.replace(f":{port}", f":{free}") for argument in arguments]
    caller = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "HOME": str(tmp_path),
        "RHEOSTAT_STATE_DIR": str(tmp_path / "state"),
        "RHEOSTAT_ADDRESS": f"127.0.0.1:{ports['50051']}",
        "OMP_NUM_THREADS": "1",
    }
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(
            ["rheostat", *arguments],
            env=caller | {"RHEOSTAT_ADDRESS": ""},
            stdout=log,
            stderr=log,
        ) as process,
    ):
        wait_until_ready(f"http://127.0.0.1:{ports['9465']}/readyz")
        yield caller
        process.terminate()
        assert process.wait() == 0, (tmp_path / "log").read_text()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_ready(url):
    deadline = time.monotonic() + 60
    while True:
        try:
            return urlopen(url, timeout=1).close()
        except URLError:
            assert time.monotonic() < deadline, f"{url} never answered"
            time.sleep(0.05)


def steer(render, daemon, **values):
    """Do what the pod of `helm test` does."""
    pod = render.one("Pod", {**OPEN, "tests": values})["spec"]["containers"][0]
    told = {one["name"]: one["value"] for one in pod["env"] if "RHEOSTAT" not in one["name"]}
    command = [sys.executable, *pod["command"][1:], *pod["args"]]
    return subprocess.run(command, env=daemon | told, capture_output=True, text=True)


def test_it_steers_the_daemon_of_the_quick_start_and_undoes_it(render, daemon):
    done = steer(render, daemon)

    assert done.returncode == 0, done.stderr
    assert "halved, read back, and undone" in done.stdout
    history = subprocess.run(
        ["rheostat", "lr", "history", "digits", "--json"],
        env=daemon,
        capture_output=True,
        text=True,
    )
    made = [(one["verb"], one["value"], one["reason"]) for one in json.loads(history.stdout)]
    assert made == [("scale", 0.5, "helm test"), ("scale", 2.0, "helm test: undone")]


def test_it_says_which_runs_there_are_where_the_wanted_one_is_not(render, daemon):
    done = steer(render, daemon, run="mnist", timeoutSeconds=1)

    assert done.returncode == 1
    assert "no run to steer within 1.0 s: there is none" in done.stderr
