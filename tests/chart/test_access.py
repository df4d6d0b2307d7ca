"""Services, policies, rights, secrets and certificates: who reaches whom."""

import pytest

from rheostat.door.binding import read_roles

TRAINING_RUNS = {"trainingRuns": {"enabled": True}}
OPEN = {"exposed": True, "insecure": True}


def kinds(documents):
    return [document["kind"] for document in documents]


def test_unless_exposed_there_is_only_the_headless_service(render):
    (service,) = [one for one in render() if one["kind"] == "Service"]

    assert service["spec"]["clusterIP"] == "None"
    assert service["metadata"]["name"] == render.one("StatefulSet")["spec"]["serviceName"]


def test_services_select_the_pod_by_its_labels_and_port_names(render):
    template = render.one("StatefulSet", OPEN)["spec"]["template"]
    names = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
    services = [one for one in render(OPEN) if one["kind"] == "Service"]

    assert len(services) == 3
    for service in services:
        assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= names


def test_without_training_runs_the_pod_has_no_rights_at_all(render):
    assert not {"Role", "RoleBinding", "ClusterRole"} & set(kinds(render()))
    assert not render.one("ServiceAccount")["automountServiceAccountToken"]


def test_training_runs_take_exactly_these_rights(render):
    role = render.one("Role", TRAINING_RUNS)
    granted = {
        (group, resource): set(rule["verbs"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }

    assert granted == {
        ("rheostat.dev", "trainingruns"): {"get", "list", "watch", "patch"},
        ("rheostat.dev", "trainingruns/status"): {"get", "patch"},
        ("rheostat.dev", "trainingruns/finalizers"): {"patch"},
        ("", "events"): {"create", "patch"},
        ("events.k8s.io", "events"): {"create", "patch"},
    }


def test_the_rights_are_those_of_the_pods_account(render):
    binding = render.one("RoleBinding", TRAINING_RUNS)
    pod = render.pod(TRAINING_RUNS)

    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": pod["serviceAccountName"], "namespace": "ml"}
    ]
    assert binding["roleRef"]["name"] == render.one("Role", TRAINING_RUNS)["metadata"]["name"]
    assert pod["automountServiceAccountToken"]
    assert "--kubernetes" in pod["containers"][0]["args"]


def test_an_account_of_ones_own_is_used_and_not_made(render):
    values = {"serviceAccount": {"create": False, "name": "training"}}

    assert render.pod(values)["serviceAccountName"] == "training"
    assert "ServiceAccount" not in kinds(render(values))


def test_the_network_policy_lets_the_kubelet_probe_from_anywhere(render):
    policy = render.one("NetworkPolicy", {"networkPolicy": {"enabled": True}})["spec"]

    assert policy["ingress"] == [{"ports": [{"port": "health", "protocol": "TCP"}]}]


def test_the_network_policy_opens_the_two_ports_to_their_peers_only(render):
    peers = [{"podSelector": {"matchLabels": {"team": "vision"}}}]
    policy = {"enabled": True, "grpcFrom": peers, "metricsFrom": []}
    values = {**OPEN, "networkPolicy": policy, "tests": {"enabled": False}}

    _, grpc = render.one("NetworkPolicy", values)["spec"]["ingress"]

    assert grpc == {"from": peers, "ports": [{"port": "grpc", "protocol": "TCP"}]}


def test_the_page_has_a_service_and_peers_of_its_own_where_it_is_exposed(render):
    peers = [{"namespaceSelector": {"matchLabels": {"name": "ingress"}}}]
    page = {"enabled": True, "port": 443}
    policy = {"enabled": True, "grpcFrom": [], "metricsFrom": [], "pageFrom": peers}
    values = {**OPEN, "page": page, "networkPolicy": policy, "tests": {"enabled": False}}
    objects = render(values)
    services = {one["metadata"]["name"]: one for one in objects if one["kind"] == "Service"}
    [name] = [name for name in services if name.endswith("-page")]

    [port] = services[name]["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (443, "page")
    _, opened = render.one("NetworkPolicy", values)["spec"]["ingress"]
    assert opened == {"from": peers, "ports": [{"port": "page", "protocol": "TCP"}]}
    hidden = render({**values, "exposed": False})
    assert name not in [one["metadata"]["name"] for one in hidden if one["kind"] == "Service"]


def test_the_network_policy_lets_in_the_pod_of_helm_test(render, scenario_values):
    values = scenario_values("hardened")
    ingress = render.one("NetworkPolicy", values)["spec"]["ingress"]
    labels = render.one("Pod", values)["metadata"]["labels"]

    assert ingress[1]["from"][-1]["podSelector"]["matchLabels"].items() <= labels.items()


def test_the_network_policy_lets_training_runs_reach_the_api_server(render):
    values = {"networkPolicy": {"enabled": True}}
    ports = {
        port["port"]
        for rule in render.one("NetworkPolicy", {**values, **TRAINING_RUNS})["spec"]["egress"]
        for port in rule["ports"]
    }

    assert ports == {53, 443, 6443}
    assert len(render.one("NetworkPolicy", values)["spec"]["egress"]) == 1


def test_egress_may_be_left_open(render):
    values = {"networkPolicy": {"enabled": True, "restrictEgress": False}}

    assert render.one("NetworkPolicy", values)["spec"]["policyTypes"] == ["Ingress"]


def test_token_lines_become_the_file_that_the_daemon_reads(render):
    lines = [f"ada sha256:{'0' * 64}", f"ada sha256:{'1' * 64}", f"bob@site sha256:{'2' * 64}"]
    values = {**OPEN, "auth": {"tokens": {"lines": lines, "key": "ignored"}}}
    secret = render.one("Secret", values)
    (volume,) = [one for one in render.pod(values)["volumes"] if one["name"] == "tokens"]

    assert secret["stringData"]["tokens"].splitlines() == lines
    assert volume["secret"]["secretName"] == secret["metadata"]["name"]
    assert volume["secret"]["items"] == [{"key": "tokens", "path": "tokens"}]


def test_the_certificate_holds_every_name_the_daemon_is_called_by(render, scenario_values):
    values = scenario_values("mtls-cert-manager")
    documents = render(values)
    (server,) = [
        one
        for one in documents
        if one["metadata"]["name"] == "demo-rheostat" and one["kind"] == "Certificate"
    ]
    services = {one["metadata"]["name"] for one in documents if one["kind"] == "Service"}
    (monitor,) = [one for one in documents if one["kind"] == "PodMonitor"]
    names = set(server["spec"]["dnsNames"])

    assert {"localhost", "rheostat.example"} <= names
    assert {f"{service}.ml.svc" for service in services} <= names
    assert monitor["spec"]["podMetricsEndpoints"][0]["tlsConfig"]["serverName"] in names


def test_mutual_tls_by_cert_manager_takes_everything_from_two_secrets(render, scenario_values):
    values = scenario_values("mtls-cert-manager")
    pod = render.pod(values)
    secrets = {
        one["name"]: one["secret"]["secretName"] for one in pod["volumes"] if "secret" in one
    }

    assert secrets == {"tls": "demo-rheostat-tls", "client-ca": "demo-rheostat-tls"}
    client = render.one("Certificate", values, suffix="-client")["spec"]
    assert client["secretName"] == "demo-rheostat-client-tls"
    assert "client auth" in client["usages"]


def test_a_disruption_budget_holds_up_no_drain_for_a_pod_that_is_not_ready(render):
    budget = render.one("PodDisruptionBudget", {"podDisruptionBudget": {"enabled": True}})

    assert budget["spec"]["maxUnavailable"] == 0
    assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@pytest.mark.parametrize("kind", ["NodePort", "LoadBalancer"])
def test_a_service_may_be_reached_from_outside(render, kind):
    values = {
        "exposed": True,
        "tls": {"existingSecret": "certificate"},
        "auth": {"tokens": {"existingSecret": "tokens"}},
        "service": {"type": kind, "port": 443, "nodePort": 30051},
    }
    found = render.one("Service", values, suffix="demo-rheostat")["spec"]

    assert found["type"] == kind
    assert found["ports"] == [
        {"name": "grpc", "port": 443, "targetPort": "grpc", "protocol": "TCP", "nodePort": 30051}
    ]


KUBE_AUTH = {
    "exposed": True,
    "tls": {"existingSecret": "c"},
    "auth": {"kubernetes": {"enabled": True}},
}


def test_asking_kubernetes_about_callers_takes_the_right_to_ask_and_no_other(render):
    binding = render.one("ClusterRoleBinding", KUBE_AUTH)
    pod = render.pod(KUBE_AUTH)

    assert binding["metadata"]["name"] == "ml-demo-rheostat"
    assert binding["roleRef"]["name"] == "system:auth-delegator"
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": pod["serviceAccountName"], "namespace": "ml"}
    ]
    assert pod["automountServiceAccountToken"]
    assert "ClusterRoleBinding" not in kinds(render())
    assert "Role" not in kinds(render(KUBE_AUTH))


def test_roles_reach_the_daemon_as_they_are_written(render, tmp_path):
    bindings = [{"role": "operator", "principals": ["ada", "spiffe://x/*"], "runs": ["team-*"]}]
    values = {"auth": {"tokens": {"existingSecret": "t"}, "roles": {"bindings": bindings}}}
    config = render.one("ConfigMap", values)
    (tmp_path / "roles.yaml").write_text(config["data"]["roles.yaml"])

    [binding] = read_roles(tmp_path / "roles.yaml").bindings
    assert (binding.role, binding.principals, binding.runs) == (
        "operator",
        ("ada", "spiffe://x/*"),
        ("team-*",),
    )
    assert "--roles=/etc/rheostat/roles/roles.yaml" in render.pod(values)["containers"][0]["args"]
