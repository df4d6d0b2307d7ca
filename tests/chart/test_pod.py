"""The StatefulSet and its pod."""

import json
import re

import pytest
from typer.main import get_command

from rheostat.cli.main import app

SECURED = {
    "exposed": True,
    "tls": {"existingSecret": "certificate"},
    "auth": {
        "clientCA": {"existingSecret": "people"},
        "tokens": {"existingSecret": "tokens", "key": "lines"},
    },
}


def annotations(render, values):
    metadata = render.one("StatefulSet", values)["spec"]["template"]["metadata"]
    return metadata.get("annotations", {})


def test_by_default_only_health_is_reachable(render):
    arguments = render.daemon()["args"]

    assert "--address=127.0.0.1:50051" in arguments
    assert "--metrics-address=127.0.0.1:9464" in arguments
    assert "--health-address=0.0.0.0:9465" in arguments


def test_exposed_it_listens_on_all_addresses_with_tls_and_authentication(render):
    container = render.daemon(SECURED)
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}

    assert {
        "--address=0.0.0.0:50051",
        "--metrics-address=0.0.0.0:9464",
        "--tls-cert=/etc/rheostat/tls/tls.crt",
        "--tls-key=/etc/rheostat/tls/tls.key",
        "--tls-client-ca=/etc/rheostat/client-ca/ca.crt",
        "--tokens=/etc/rheostat/tokens/tokens",
    } <= set(container["args"])
    assert {"/etc/rheostat/tls", "/etc/rheostat/client-ca", "/etc/rheostat/tokens"} <= mounts


def test_the_page_is_off_until_it_is_wanted_and_then_listens_where_the_others_do(render):
    plain, local = render.daemon(), render.daemon({"page": {"enabled": True}})
    exposed = render.daemon({**SECURED, "page": {"enabled": True}})

    assert not [one for one in plain["args"] if one.startswith("--page")]
    assert "page" not in [port["name"] for port in plain["ports"]]
    assert "--page-address=127.0.0.1:9466" in local["args"]
    assert "--page-address=0.0.0.0:9466" in exposed["args"]
    assert {"name": "page", "containerPort": 9466, "protocol": "TCP"} in exposed["ports"]


def test_secrets_are_mounted_as_folders_so_that_rotation_reaches_them(render):
    mounts = render.daemon(SECURED)["volumeMounts"]

    assert not [mount for mount in mounts if "subPath" in mount]


def test_the_daemon_knows_every_argument_that_any_scenario_gives_it(
    render, scenario, scenario_values
):
    options = {name for option in get_command(app).commands["serve"].params for name in option.opts}

    verb, *arguments = render.daemon(scenario_values(scenario))["args"]

    assert verb == "serve"
    assert {argument.partition("=")[0] for argument in arguments} <= options


def test_the_grace_period_is_the_drain_and_a_margin(render):
    pod = render.pod({"daemon": {"drainSeconds": 600}})

    assert pod["terminationGracePeriodSeconds"] == 615
    assert "--drain-seconds=600" in pod["containers"][0]["args"]


def test_probes_ask_the_plaintext_health_port(render):
    container = render.daemon(SECURED)
    (health,) = [port for port in container["ports"] if port["name"] == "health"]

    assert health["containerPort"] == 9465
    for probe, path in [
        ("startup", "/healthz"),
        ("liveness", "/healthz"),
        ("readiness", "/readyz"),
    ]:
        assert container[f"{probe}Probe"]["httpGet"] == {"path": path, "port": "health"}


def test_every_port_names_its_protocol(render, scenario, scenario_values):
    for document in render(scenario_values(scenario)):
        for ports in found(document, "ports"):
            assert all("protocol" in port for port in ports), document["kind"]


def found(node, key):
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key and isinstance(value, list):
                yield value
            yield from found(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from found(value, key)


def test_the_pod_may_do_next_to_nothing(render):
    pod = render.pod()
    context = pod["containers"][0]["securityContext"]

    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert context["readOnlyRootFilesystem"]
    assert not context["allowPrivilegeEscalation"]
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert not pod["automountServiceAccountToken"]
    assert not pod["enableServiceLinks"]


def test_changed_runs_restart_the_pod(render):
    before = annotations(render, {"runs": {"digits": {"train": {"steps": 1}}}})
    after = annotations(render, {"runs": {"digits": {"train": {"steps": 2}}}})

    assert before["checksum/runs"] != after["checksum/runs"]


def test_nothing_else_that_is_no_part_of_it_restarts_the_pod(render, copy_of_chart):
    chart_yaml = copy_of_chart / "Chart.yaml"
    chart_yaml.write_text(re.sub("(?m)^version: .*$", "version: 9.9.9", chart_yaml.read_text()))
    other = type(render)(copy_of_chart)
    values = {"runs": {"digits": {}}, "service": {"labels": {"a": "b"}}}

    before = render.one("StatefulSet", {"runs": {"digits": {}}})["spec"]["template"]
    assert other.one("StatefulSet", values)["spec"]["template"] == before


def test_annotations_are_short_enough_for_podman(render):
    values = {"runs": {"digits": {}}}

    assert all(len(text) <= 63 for text in annotations(render, values).values())


def test_a_spec_may_have_a_name_of_its_own(render):
    files = render.one("ConfigMap", {"runs": {"a": {"name": "b"}}})["data"]

    assert json.loads(files["a.json"]) == {"name": "b"}


def test_specs_may_come_from_a_config_map_of_ones_own(render):
    pod = render.pod({"runsConfigMap": "team"})

    assert {"name": "specs", "configMap": {"name": "team"}} in pod["volumes"]
    assert "--specs=/etc/rheostat/specs" in pod["containers"][0]["args"]


def test_gpus_are_requested_limited_and_tolerated(render):
    pod = render.pod(
        {"gpu": {"count": 2}, "resources": {"requests": {"cpu": "4"}, "limits": {"memory": "8Gi"}}}
    )

    assert pod["containers"][0]["resources"] == {
        "requests": {"cpu": "4", "nvidia.com/gpu": "2"},
        "limits": {"memory": "8Gi", "nvidia.com/gpu": "2"},
    }
    assert pod["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    ]


def test_gpus_may_have_another_name_and_no_toleration(render):
    pod = render.pod(
        {"gpu": {"count": 1, "resourceName": "nvidia.com/mig-1g.10gb", "tolerate": False}}
    )

    assert pod["containers"][0]["resources"]["limits"] == {"nvidia.com/mig-1g.10gb": "1"}
    assert "tolerations" not in pod


def test_gpu_models_become_a_node_affinity_beside_ones_own_pod_affinity(render):
    own = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []}}

    affinity = render.pod({"gpu": {"products": ["H100", "H200"]}, "affinity": own})["affinity"]

    node = affinity.pop("nodeAffinity")["requiredDuringSchedulingIgnoredDuringExecution"]
    assert affinity == own
    assert node["nodeSelectorTerms"][0]["matchExpressions"] == [
        {"key": "nvidia.com/gpu.product", "operator": "In", "values": ["H100", "H200"]}
    ]


def test_topology_spread_counts_the_daemons_of_all_releases_unless_told(render):
    constraint = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    mine = {"matchLabels": {"team": "vision"}}

    first, second = render.pod(
        {"topologySpreadConstraints": [constraint, {**constraint, "labelSelector": mine}]}
    )["topologySpreadConstraints"]

    assert first["labelSelector"]["matchLabels"] == {
        "app.kubernetes.io/name": "rheostat",
        "app.kubernetes.io/component": "daemon",
    }
    assert second["labelSelector"] == mine


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ({}, "rheostat:0.1.0"),
        ({"tag": "1.2"}, "rheostat:1.2"),
        (
            {"registry": "registry.example:5000", "repository": "ml/r"},
            "registry.example:5000/ml/r:0.1.0",
        ),
        ({"digest": f"sha256:{'a' * 64}"}, f"rheostat@sha256:{'a' * 64}"),
        ({"tag": "1.2", "digest": f"sha256:{'a' * 64}"}, f"rheostat:1.2@sha256:{'a' * 64}"),
    ],
)
def test_the_image_is_called_by_tag_and_digest(render, image, reference):
    assert render.daemon({"image": image})["image"] == reference


def test_a_parent_chart_says_where_images_come_from(render):
    values = {
        "global": {"imageRegistry": "mirror.example", "imagePullSecrets": [{"name": "a"}]},
        "imagePullSecrets": [{"name": "b"}, {"name": "a"}],
    }

    assert render.daemon(values)["image"] == "mirror.example/rheostat:0.1.0"
    assert render.pod(values)["imagePullSecrets"] == [{"name": "a"}, {"name": "b"}]


def test_names_stay_short_enough_for_what_kubernetes_makes_of_them(render):
    documents = render(name="r" * 53)
    names = {document["kind"]: document["metadata"]["name"] for document in documents}

    # Its pods get a label of this name, a dash and a hash of ten characters; labels have 63.
    assert len(names["StatefulSet"]) <= 52
    assert len(names["Service"]) <= 63


@pytest.mark.parametrize(
    ("release", "values", "name"),
    [
        ("demo", {}, "demo-rheostat"),
        ("rheostat", {}, "rheostat"),
        ("my-rheostat", {}, "my-rheostat"),
        ("demo", {"nameOverride": "lr"}, "demo-lr"),
        ("demo", {"fullnameOverride": "trainer"}, "trainer"),
    ],
)
def test_the_release_gives_the_name(render, release, values, name):
    assert render.one("StatefulSet", values, name=release)["metadata"]["name"] == name


def test_another_name_hides_no_daemon_from_the_command_line(render):
    labels = render.one("StatefulSet", {"nameOverride": "lr"})["spec"]["template"]["metadata"][
        "labels"
    ]

    assert labels["app.kubernetes.io/name"] == "rheostat"


def test_labels_of_ones_own_give_way_to_those_that_select(render):
    values = {"podLabels": {"app.kubernetes.io/instance": "x", "team": "vision"}}
    found = render.one("StatefulSet", values)["spec"]

    assert found["template"]["metadata"]["labels"]["team"] == "vision"
    assert (
        found["selector"]["matchLabels"].items() <= found["template"]["metadata"]["labels"].items()
    )


def test_common_labels_and_annotations_are_on_every_object(render, scenario, scenario_values):
    values = {
        **scenario_values(scenario),
        "commonLabels": {"team": "vision"},
        "commonAnnotations": {"example.com/a": "b"},
        "extraObjects": [],
    }

    for document in render(values):
        assert document["metadata"]["labels"]["team"] == "vision", document["kind"]
        assert document["metadata"]["annotations"]["example.com/a"] == "b", document["kind"]
