"""The chart on a real API server, by both lines of Helm.

The server here is older than the chart allows: that one line is relaxed in a copy. Its objects come
and go as they should; nothing runs, since there is no kubelet.
"""

import json
import re
import shutil
import subprocess
import uuid
from pathlib import Path

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

CHART = Path(__file__).resolve().parents[2] / "helm/rheostat"
FILES = sorted(CHART.glob("ci/*-values.yaml"))
NEEDS = {
    "gpu": "a server that takes a number for a quantity in server-side apply",
    "hardened": "policy/v1 of Kubernetes 1.21",
    "load-balancer": "the loadBalancerClass of Kubernetes 1.24",
    "monitoring": "the Prometheus operator's definitions",
    "mtls-cert-manager": "cert-manager's definitions",
}
"""What the server here lacks for some scenarios; tests/chart checks those by their schemas."""
SCENARIOS = [
    name for file in FILES if (name := file.name.removesuffix("-values.yaml")) not in NEEDS
]
WITHOUT_DEFINITION = ("--set", "crd.enabled=false")


class Release:
    """A release of the chart, in a namespace of its own."""

    def __init__(self, helm, cluster, chart, folder):
        self.chart = chart
        self.namespace = f"release-{uuid.uuid4().hex[:8]}"
        self._api_client = cluster.client()
        self._command = [helm, "--namespace", self.namespace, "--kubeconfig", cluster.kubeconfig()]
        homes = {f"HELM_{kind}_HOME": str(folder / kind) for kind in ("CACHE", "CONFIG", "DATA")}
        self._environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), **homes}
        namespace = {"metadata": {"name": self.namespace}}
        client.CoreV1Api(self._api_client).create_namespace(namespace)

    def helm(self, *arguments):
        done = subprocess.run(
            [*self._command, *map(str, arguments)],
            env=self._environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def apply(self, verb, scenario, *options):
        values = self.chart / f"ci/{scenario}-values.yaml"
        return self.helm(verb, "demo", self.chart, "--values", values, *options)

    @property
    def history(self):
        told = json.loads(self.helm("history", "demo", "--output", "json"))
        return [(one["revision"], one["status"]) for one in told]

    @property
    def daemon(self):
        """The daemon's container; None where there is no StatefulSet."""
        api = client.AppsV1Api(self._api_client)
        try:
            found = api.read_namespaced_stateful_set("demo-rheostat", self.namespace)
        except ApiException as error:
            if error.status == 404:
                return None
            raise
        return found.spec.template.spec.containers[0]


@pytest.fixture(scope="module", params=[0, 1], ids=["newest helm", "helm 3"])
def helm(request, helms):
    return helms[request.param]


@pytest.fixture(scope="module")
def chart(tmp_path_factory, cluster):
    """A copy of the chart that this server's version is new enough for."""
    copy = tmp_path_factory.mktemp("chart") / "rheostat"
    shutil.copytree(CHART, copy)
    about = copy / "Chart.yaml"
    allowed = re.sub(r"(?m)^kubeVersion:.*$", 'kubeVersion: ">=1.20.0-0"', about.read_text())
    about.write_text(allowed)
    return copy


@pytest.fixture
def release(helm, cluster, chart, tmp_path):
    return Release(helm, cluster, chart, tmp_path)


def test_a_release_is_installed_upgraded_rolled_back_and_uninstalled(release):
    release.apply("install", "quickstart", *WITHOUT_DEFINITION)
    installed = release.daemon
    release.apply("upgrade", "quickstart", *WITHOUT_DEFINITION, "--set", "daemon.logLevel=debug")
    upgraded = release.daemon
    release.helm("rollback", "demo", "1")
    rolled_back = release.daemon
    history = release.history
    release.helm("uninstall", "demo")

    assert history == [(1, "superseded"), (2, "superseded"), (3, "deployed")]
    assert upgraded != installed
    assert rolled_back == installed
    assert release.daemon is None


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_that_the_server_can_hold_is_installed(release, scenario):
    release.apply("install", scenario, *WITHOUT_DEFINITION)

    assert release.history == [(1, "deployed")]
    release.helm("uninstall", "demo")


def test_the_definition_comes_with_the_chart_and_outlives_it(release, cluster, apply, eventually):
    definitions = client.ApiextensionsV1Api(cluster.client())
    name = "trainingruns.rheostat.dev"

    def is_served():
        found = definitions.list_custom_resource_definition().items
        [conditions] = [one.status.conditions for one in found if one.metadata.name == name] or [()]
        return any(one.type == "Established" and one.status == "True" for one in conditions or ())

    definitions.delete_custom_resource_definition(name)
    eventually(lambda: not is_served(), "the definition is gone")
    release.apply("install", "training-runs")
    eventually(is_served, "the definition is back")
    release.helm("uninstall", "demo")

    assert is_served()
    eventually(lambda: apply("proof", {"train": {"steps": 1}}), "TrainingRuns are served")
