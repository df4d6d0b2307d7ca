"""Pods that train one run together: the daemon's, and agents."""

import pytest
from typer.main import get_command

from rheostat.cli.main import app

VALUES = {
    "distributed": {"nodes": 4, "port": 29500},
    "networkPolicy": {"enabled": True},
    "gpu": {"count": 2},
    "commonLabels": {"team": "vision"},
}
MEETING = "--rendezvous=demo-rheostat-0.demo-rheostat-headless.ml.svc:29500"


def agents(render, values=VALUES):
    return render.one("Deployment", values, suffix="-agents")


def test_by_default_there_are_no_agents_and_nobody_meets(render):
    kinds = [document["kind"] for document in render()]

    assert "Deployment" not in kinds
    assert not [one for one in render.daemon()["args"] if one.startswith("--rendezvous")]


def test_all_nodes_but_the_daemons_run_agents_that_join_at_the_daemons_pod(render):
    found = agents(render)
    [container] = found["spec"]["template"]["spec"]["containers"]

    assert found["spec"]["replicas"] == 3
    assert container["args"] == ["agent", MEETING]
    assert MEETING in render.daemon(VALUES)["args"]


def test_an_agent_is_given_only_arguments_that_it_knows(render):
    [container] = agents(render)["spec"]["template"]["spec"]["containers"]
    options = {name for option in get_command(app).commands["agent"].params for name in option.opts}

    assert {one.partition("=")[0] for one in container["args"][1:]} <= options


def test_an_agent_runs_as_the_daemon_does_where_it_does_and_without_its_state(render):
    agent, daemon = agents(render)["spec"]["template"]["spec"], render.pod(VALUES)
    mounts = {one["name"] for one in agent["containers"][0]["volumeMounts"]}

    for same in ("securityContext", "tolerations", "serviceAccountName"):
        assert agent[same] == daemon[same]
    for same in ("image", "resources", "securityContext"):
        assert agent["containers"][0][same] == daemon["containers"][0][same]
    assert "state" not in mounts | {one["name"] for one in agent["volumes"]}
    assert not agent["automountServiceAccountToken"]


def test_no_service_takes_an_agent_for_the_daemon(render):
    labels = agents(render)["spec"]["template"]["metadata"]["labels"]
    services = [one for one in render(VALUES) if one["kind"] == "Service"]

    assert services
    for one in services:
        assert not one["spec"]["selector"].items() <= labels.items()
    assert labels["team"] == "vision"


def test_ranks_reach_each_other_and_agents_reach_nobody_else(render):
    own = render.one("NetworkPolicy", VALUES, suffix="rheostat")["spec"]
    theirs = render.one("NetworkPolicy", VALUES, suffix="-agents")["spec"]
    components = [
        [one["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for one in rule["from"]]
        for rule in theirs["ingress"]
    ]

    assert components == [["daemon", "agent"]]
    [between] = theirs["ingress"]
    assert between in own["ingress"]
    assert {"to": between["from"]} in own["egress"]
    assert {"to": between["from"]} in theirs["egress"]
    dns = [rule for rule in theirs["egress"] if "ports" in rule]
    assert [port["port"] for rule in dns for port in rule["ports"]] == [53, 53]


@pytest.mark.parametrize("replicas", [0, 1])
def test_agents_are_switched_off_with_the_daemon(render, replicas):
    kinds = [document["kind"] for document in render({**VALUES, "replicas": replicas})]

    assert kinds.count("Deployment") == replicas
