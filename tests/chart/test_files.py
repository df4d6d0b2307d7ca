"""What the chart takes from files beside it: the definition, dashboards and rules."""

import json

import pytest
import yaml

DEFINITION = "files/trainingrun-crd.yaml"
MONITORING = {
    "exposed": True,
    "insecure": True,
    "monitoring": {"prometheusRule": {"enabled": True}, "dashboards": {"enabled": True}},
}


@pytest.fixture
def empty_chart(copy_of_chart):
    """A copy without any of those files."""
    for file in [DEFINITION, "dashboards/*.json", "rules/*.yaml"]:
        for path in copy_of_chart.glob(file):
            path.unlink()
    return copy_of_chart


@pytest.fixture
def load(render):
    """Load another chart."""
    return type(render)


def kinds(documents):
    return {document["kind"] for document in documents}


def test_without_files_nothing_comes_of_them(load, empty_chart):
    found = kinds(load(empty_chart)(MONITORING))

    assert not found & {"CustomResourceDefinition", "PrometheusRule", "ConfigMap"}


def test_the_definition_is_that_of_the_file(load, empty_chart):
    file = empty_chart / DEFINITION
    file.write_text(
        "kind: CustomResourceDefinition\nmetadata: {name: x}\nspec: {group: rheostat.dev}\n"
    )

    found = load(empty_chart).one("CustomResourceDefinition")

    assert found["spec"] == {"group": "rheostat.dev"}
    assert found["metadata"]["name"] == "x"
    assert found["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_the_definition_may_be_left_out_and_need_not_be_kept(load, copy_of_chart):
    file = copy_of_chart / DEFINITION
    file.write_text("kind: CustomResourceDefinition\nmetadata: {name: x}\n")
    chart = load(copy_of_chart)

    assert "CustomResourceDefinition" not in kinds(chart({"crd": {"enabled": False}}))
    metadata = chart.one("CustomResourceDefinition", {"crd": {"keep": False}})["metadata"]
    assert "annotations" not in metadata


def test_dashboards_are_copied_byte_for_byte(load, empty_chart):
    texts = {
        "runs.json": '{\n  "expr": "rate(x[$__rate_interval]) < {{ run }}"\n}\n',
        "fleet.json": json.dumps({"title": "Läufe & mehr"}),
    }
    (empty_chart / "dashboards").mkdir(exist_ok=True)
    for name, text in texts.items():
        (empty_chart / "dashboards" / name).write_text(text)
    values = {"monitoring": {"dashboards": {"enabled": True, "namespace": "grafana"}}}

    found = [one for one in load(empty_chart)(values) if one["kind"] == "ConfigMap"]

    assert {name: text for one in found for name, text in one["data"].items()} == texts
    assert {one["metadata"]["name"] for one in found} == {
        "demo-rheostat-dashboard-fleet",
        "demo-rheostat-dashboard-runs",
    }
    for one in found:
        assert one["metadata"]["namespace"] == "grafana"
        assert one["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_rules_of_all_files_make_one_object_and_are_no_templates(load, empty_chart):
    (empty_chart / "rules").mkdir(exist_ok=True)
    groups = [
        {
            "name": name,
            "rules": [{"alert": "A", "expr": "up", "labels": {"run": "{{ $labels.run }}"}}],
        }
        for name in ("one", "two", "three")
    ]
    (empty_chart / "rules/a.yaml").write_text(yaml.safe_dump({"groups": groups[:1]}))
    (empty_chart / "rules/b.yaml").write_text(yaml.safe_dump({"groups": groups[1:2]}))
    rules = {"enabled": True, "extraGroups": groups[2:]}

    found = load(empty_chart).one("PrometheusRule", {"monitoring": {"prometheusRule": rules}})

    assert found["spec"]["groups"] == groups


def test_a_file_without_rules_is_no_file_of_rules(load, empty_chart, refused):
    (empty_chart / "rules").mkdir(exist_ok=True)
    (empty_chart / "rules/broken.yaml").write_text("rules: []\n")

    with pytest.raises(refused, match=r"rules/broken\.yaml holds no groups"):
        load(empty_chart)({"monitoring": {"prometheusRule": {"enabled": True}}})


def test_dashboards_and_rules_of_the_chart_itself_arrive_whole(render, chart):
    documents = render(MONITORING)
    dashboards = {
        name: text
        for one in documents
        if one["metadata"]["labels"]["app.kubernetes.io/component"] == "dashboards"
        for name, text in one["data"].items()
    }
    rules = [one for one in documents if one["kind"] == "PrometheusRule"]

    assert dashboards == {path.name: path.read_text() for path in chart.glob("dashboards/*.json")}
    written = [
        group
        for path in sorted(chart.glob("rules/*.yaml"))
        for group in yaml.safe_load(path.read_text())["groups"]
    ]
    assert [group for one in rules for group in one["spec"]["groups"]] == written


def test_scraping_with_a_token_over_tls(render, scenario_values):
    endpoint = render.one("ServiceMonitor", scenario_values("monitoring"))["spec"]["endpoints"][0]

    assert endpoint["scheme"] == "https"
    assert endpoint["tlsConfig"] == {
        "serverName": "demo-rheostat.ml.svc",
        "ca": {"secret": {"name": "company-ca", "key": "ca.pem"}},
    }
    assert endpoint["authorization"] == {
        "credentials": {"name": "prometheus-rheostat-token", "key": "token"}
    }


def test_monitors_select_the_metrics(render):
    values = {"exposed": True, "insecure": True}
    service = render.one("Service", values, suffix="-metrics")
    by_service = {**values, "monitoring": {"serviceMonitor": {"enabled": True}}}
    by_pod = {**values, "monitoring": {"podMonitor": {"enabled": True}}}

    selected = render.one("ServiceMonitor", by_service)["spec"]["selector"]["matchLabels"]
    assert selected.items() <= service["metadata"]["labels"].items()
    others = [one for one in render(values) if one["kind"] == "Service" and one != service]
    assert not any(selected.items() <= one["metadata"]["labels"].items() for one in others)
    pod = render.one("StatefulSet", values)["spec"]["template"]["metadata"]["labels"]
    selected = render.one("PodMonitor", by_pod)["spec"]["selector"]["matchLabels"]
    assert selected.items() <= pod.items()


def test_scrape_annotations_tell_the_scheme_and_the_port(render):
    values = {"exposed": True, "insecure": True, "monitoring": {"scrapeAnnotations": True}}

    assert render.one("Service", values, suffix="-metrics")["metadata"]["annotations"] == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": "9464",
        "prometheus.io/scheme": "http",
    }


def test_objects_of_ones_own_are_templates(render, scenario_values):
    found = render.one("ConfigMap", scenario_values("extras"), suffix="-notes")

    assert found["metadata"] == {"name": "trainer-notes", "namespace": "ml"}
