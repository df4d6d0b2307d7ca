"""What the chart's service account may do: what the daemon needs, and nothing else."""

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

RUNS = {
    "group": "rheostat.dev",
    "version": "v1alpha1",
    "namespace": "ml",
    "plural": "trainingruns",
}
RUN = {"train": {"steps": 10}}
MERGE = {"_content_type": "application/merge-patch+json"}


@pytest.fixture
def daemon(cluster, rights):
    """An API client that asks as the service account."""
    return cluster.client("token-of-the-service-account")


@pytest.fixture
def status_of(daemon):
    """Make a call as the service account, and return the status of its answer."""

    def call(method, *arguments, **named):
        try:
            method(*arguments, **named)
        except ApiException as error:
            return error.status
        return 200

    return call


def test_it_reads_watches_and_patches_runs_their_status_and_finalizers(daemon, status_of, apply):
    apply("mine", RUN)
    api = client.CustomObjectsApi(daemon)
    one = {**RUNS, "name": "mine"}

    assert status_of(api.list_namespaced_custom_object, **RUNS) == 200
    assert status_of(api.get_namespaced_custom_object, **one) == 200
    watched = {"watch": True, "timeout_seconds": 1, "_preload_content": False}
    assert status_of(api.list_namespaced_custom_object, **RUNS, **watched) == 200
    finalizers = {"metadata": {"finalizers": []}}
    assert status_of(api.patch_namespaced_custom_object, **one, body=finalizers, **MERGE) == 200
    status = {"status": {"phase": "waiting"}}
    patch_status = api.patch_namespaced_custom_object_status
    assert status_of(patch_status, **one, body=status, **MERGE) == 200


def test_it_writes_events(daemon, status_of):
    core = client.CoreV1Api(daemon)
    about = {"kind": "TrainingRun", "name": "mine", "namespace": "ml"}
    event = {"metadata": {"name": "mine.1"}, "involvedObject": about, "reason": "Tested"}

    assert status_of(core.create_namespaced_event, "ml", event) == 200
    assert status_of(core.patch_namespaced_event, "mine.1", "ml", {"count": 2}) == 200


def test_it_neither_makes_nor_deletes_runs(daemon, status_of, apply):
    apply("theirs", RUN)
    api = client.CustomObjectsApi(daemon)
    body = {
        "apiVersion": "rheostat.dev/v1alpha1",
        "kind": "TrainingRun",
        "metadata": {"name": "own"},
        "spec": {"run": RUN},
    }

    assert status_of(api.create_namespaced_custom_object, **RUNS, body=body) == 403
    assert status_of(api.delete_namespaced_custom_object, **RUNS, name="theirs") == 403


@pytest.mark.parametrize(
    "list_", ["secret", "config_map", "pod", "service", "event", "service_account"]
)
def test_it_sees_nothing_else_of_its_namespace(daemon, status_of, list_):
    core = client.CoreV1Api(daemon)

    assert status_of(getattr(core, f"list_namespaced_{list_}"), "ml") == 403


def test_it_sees_nothing_of_other_namespaces_or_of_the_cluster(daemon, status_of):
    api = client.CustomObjectsApi(daemon)
    core = client.CoreV1Api(daemon)

    elsewhere = {**RUNS, "namespace": "default"}
    assert status_of(api.list_namespaced_custom_object, **elsewhere) == 403
    assert status_of(core.list_namespace) == 403
    assert status_of(core.list_node) == 403


def test_a_wrong_token_is_nobody(cluster, status_of):
    api = client.CustomObjectsApi(cluster.client("a-guess"))

    assert status_of(api.list_namespaced_custom_object, **RUNS) == 401
