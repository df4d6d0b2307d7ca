"""What the tests of dashboards and alerts share: the files, and what they ask Prometheus."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from ruamel.yaml import YAML

CHECKOUT = Path(__file__).parents[2]
CHART = CHECKOUT / "helm/rheostat"
PARTS = CHECKOUT / "tools/parts"
UNAVAILABLE = 69
"""Exit code of a script in tools/parts whose part cannot be had on this machine."""
CHOSEN = {
    "$__rate_interval": "4s",
    "$__interval": "1s",
    "$namespace": "ml",
    "$run": "steered",
    "$group": "default|head",
}
"""What Grafana puts in the place of its variables."""


class Question(NamedTuple):
    """What a dashboard asks Prometheus."""

    where: str
    query: str
    legend: str

    @property
    def labels(self):
        """Labels that the legend shows."""
        return set(re.findall(r"\{\{(\w+)\}\}", self.legend))


def read_dashboards():
    """Return the chart's dashboards by name."""
    return {file.stem: json.loads(file.read_text()) for file in CHART.glob("dashboards/*.json")}


def read_alerts():
    """Return the chart's alerts by name."""
    groups = YAML(typ="safe", pure=True).load(CHART / "rules/rheostat.yaml")["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def find_questions():
    """Return everything that the dashboards ask."""
    for name, dashboard in sorted(read_dashboards().items()):
        for annotation in dashboard["annotations"]["list"]:
            where = f"{name}: {annotation['name']}"
            yield Question(where, annotation["target"]["expr"], annotation["titleFormat"])
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                where = f"{name}: {panel['title']}: {target['legendFormat']}"
                yield Question(where, target["expr"], target["legendFormat"])


def find_choices():
    """Return everything that can be chosen on the dashboards: where, a selector, and a label."""
    for name, dashboard in sorted(read_dashboards().items()):
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                asked = variable["query"]["query"]
                selector, label = re.fullmatch(r"label_values\((.+), (\w+)\)", asked).groups()
                yield Question(f"{name}: {variable['name']}", selector, f"{{{{{label}}}}}")


def pytest_generate_tests(metafunc):
    """A test of a `question`, `choice`, `dashboard` or `alert` gets each of them in turn."""
    for name, found in (("question", find_questions), ("choice", find_choices)):
        if name in metafunc.fixturenames:
            every = list(found())
            metafunc.parametrize(name, every, ids=[one.where for one in every])
    for name, found in (("dashboard", read_dashboards), ("alert", read_alerts)):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, found().values(), ids=found())


def get_part(script):
    """Return what a script of tools/parts has made; skip where it cannot."""
    command = [sys.executable, PARTS / script] if script.endswith(".py") else [PARTS / script]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == UNAVAILABLE:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="session")
def chart():
    """The folder of the chart."""
    return CHART


@pytest.fixture(scope="session")
def dashboards():
    """The chart's dashboards by name."""
    return read_dashboards()


@pytest.fixture(scope="session")
def alerts():
    """The chart's alerts by name."""
    return read_alerts()


@pytest.fixture(scope="session")
def filled_in():
    """Return a query as Grafana sends it."""

    def fill_in(query):
        for name, value in CHOSEN.items():
            query = query.replace(name, value)
        return query

    return fill_in


@pytest.fixture(scope="session")
def prometheus_commands():
    """Where prometheus and promtool are."""
    return Path(get_part("prometheus.sh"))


@pytest.fixture(scope="session")
def grafana_schema():
    """Where the types of Grafana and a compiler are installed."""
    return Path(get_part("grafana_schema.sh"))


@pytest.fixture(scope="session")
def helm():
    """The newest helm command."""
    return get_part("helm.py").splitlines()[0]
