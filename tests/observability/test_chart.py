"""What the chart makes of dashboards and rules equals the files."""

import subprocess

import pytest
from ruamel.yaml import YAML


@pytest.fixture(scope="session")
def objects(helm, chart):
    """The objects that carry dashboards and rules, by kind and name."""
    enabled = ["monitoring.dashboards.enabled=true", "monitoring.prometheusRule.enabled=true"]
    command = [helm, "template", "demo", chart, *(f"--set={one}" for one in enabled)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    documents = filter(None, YAML(typ="safe", pure=True).load_all(done.stdout))
    return {(one["kind"], one["metadata"]["name"]): one for one in documents}


def test_each_dashboard_is_a_config_map_of_its_own(objects, chart):
    files = {file.name: file.read_text() for file in chart.glob("dashboards/*.json")}
    made = [one for (kind, name), one in objects.items() if "-dashboard-" in name]

    assert len(made) == len(files)
    assert {name: text for one in made for name, text in one["data"].items()} == files
    assert all(one["metadata"]["labels"]["grafana_dashboard"] == "1" for one in made)


def test_the_prometheus_rule_holds_the_rules(objects, chart):
    written = YAML(typ="safe", pure=True).load(chart / "rules/rheostat.yaml")

    assert objects["PrometheusRule", "demo-rheostat"]["spec"]["groups"] == written["groups"]
