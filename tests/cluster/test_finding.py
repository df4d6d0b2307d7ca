"""Finding the chart's daemons from a terminal. No kubelet is here, so no port can be forwarded."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from kubernetes import client
from ruamel.yaml import YAML

CHART = Path(__file__).resolve().parents[2] / "helm/rheostat"


@pytest.fixture(scope="module")
def pod(cluster, helms):
    """The pod of the chart's daemon, as a kubelet would report it; nothing runs in it."""
    command = [helms[0], "template", "demo", CHART, "--namespace", "ml"]
    command += ["--values", CHART / "ci/quickstart-values.yaml"]
    command += ["--show-only", "templates/statefulset.yaml"]
    rendered = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    template = YAML(typ="safe").load(rendered)["spec"]["template"]
    core = client.CoreV1Api(cluster.client())
    body = {
        "metadata": {"name": "demo-rheostat-0", "labels": template["metadata"]["labels"]},
        "spec": {
            "containers": [
                {"name": one["name"], "image": one["image"], "ports": one["ports"]}
                for one in template["spec"]["containers"]
            ]
        },
    }
    core.create_namespaced_pod("ml", body)
    core.patch_namespaced_pod_status("demo-rheostat-0", "ml", {"status": {"phase": "Running"}})
    yield
    core.delete_namespaced_pod("demo-rheostat-0", "ml", grace_period_seconds=0)


@pytest.fixture
def rheostat(cluster):
    """Run the command line with the administrator's kubeconfig."""

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "rheostat", *arguments],
            env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig())},
            capture_output=True,
            text=True,
        )

    return run


@pytest.mark.usefixtures("pod")
@pytest.mark.parametrize("where", [(), ("--kube-context", "test"), ("-n", "ml"), ("-A",)])
def test_the_daemon_of_the_chart_is_found(rheostat, where):
    listed = rheostat(*(where or ("--pod", "demo-rheostat-0")), "runs", "list")

    assert "ml/demo-rheostat-0: no port is forwarded to pod ml/demo-rheostat-0" in listed.stderr


def test_where_no_daemon_is_found_the_command_says_so(rheostat):
    listed = rheostat("-n", "default", "runs", "list")

    assert listed.returncode == 1
    assert "no daemon lives in namespace default" in listed.stderr
