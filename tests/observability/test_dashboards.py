"""The dashboards as files: that Grafana understands them, and that they ask for what there is."""

import itertools
import json
import re
import subprocess
from pathlib import Path

import pytest

from rheostat.telemetry.metrics import METRICS

TYPES = Path(__file__).with_name("dashboards.ts")
COMPILER_OPTIONS = {
    "strict": True,
    "noEmit": True,
    "skipLibCheck": True,
    "module": "esnext",
    "moduleResolution": "bundler",
    "target": "es2022",
    "types": [],
}
OF_TARGETS = {"namespace", "job", "instance"}
"""Labels that Prometheus puts on what it scrapes; the first only in Kubernetes."""
OTHERS = (
    *("up", "scrape_duration_seconds", "scrape_samples_scraped"),
    *("process_cpu_seconds_total", "process_resident_memory_bytes"),
    *("process_open_fds", "process_max_fds", "process_start_time_seconds"),
)
"""Metrics of Prometheus itself, and of its client library."""
KNOWN = dict.fromkeys(OTHERS, OF_TARGETS)
for metric in METRICS:
    if metric.kind == "histogram":
        KNOWN[f"{metric.name}_bucket"] = {*metric.labels, *OF_TARGETS, "le"}
    else:
        KNOWN[metric.name] = {*metric.labels, *OF_TARGETS}


def used_by(query):
    """Return the selectors of a query, and the labels that it joins and groups by."""
    promql_parser = pytest.importorskip("promql_parser")
    selectors, labels = [], set()

    def look(node):
        if isinstance(node, promql_parser.VectorSelector):
            selectors.append(node)
        modifier = getattr(node, "modifier", None)
        matching = getattr(modifier, "matching", modifier)
        labels.update(getattr(matching, "labels", ()))

    promql_parser.walk(promql_parser.parse(query), look)
    return selectors, labels


def assert_known(query):
    selectors, labels = used_by(query)
    assert selectors
    known = set()
    for selector in selectors:
        assert {matcher.name for matcher in selector.matchers.matchers} <= KNOWN[selector.name]
        known |= KNOWN[selector.name]
    assert labels <= known


def test_a_dashboard_asks_for_metrics_and_labels_that_there_are(question, filled_in):
    assert_known(filled_in(question.query))


def test_an_alert_asks_for_metrics_and_labels_that_there_are(alert):
    assert_known(alert["expr"])


def test_what_is_not_there_is_found():
    for query in ("rheostat_epochs_total", 'up{run="a"}', "sum by (le) (up)"):
        with pytest.raises((KeyError, AssertionError)):
            assert_known(query)


def test_variables_are_used_where_they_exist(dashboard):
    there_are = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]\w*)", json.dumps(dashboard["panels"])))

    assert used == there_are


def test_panels_have_numbers_and_places_of_their_own(dashboard):
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(numbers)) == len(numbers)

    cells = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        taken = set(
            itertools.product(
                range(place["x"], place["x"] + place["w"]),
                range(place["y"], place["y"] + place["h"]),
            )
        )
        assert not taken & cells
        cells |= taken


def test_dashboards_have_identities_of_their_own(dashboards):
    assert {one["uid"] for one in dashboards.values()} == {
        f"rheostat-{name}" for name in dashboards
    }
    assert len({one["title"] for one in dashboards.values()}) == len(dashboards)


def test_links_lead_to_dashboards_that_there_are(dashboard, dashboards):
    uids = {one["uid"] for one in dashboards.values()}

    assert set(re.findall(r"/d/([\w-]+)", json.dumps(dashboard))) <= uids


@pytest.fixture(scope="session")
def compile_types(grafana_schema, tmp_path_factory):
    """Return what the TypeScript compiler says of dashboards in Grafana's types."""
    folder = tmp_path_factory.mktemp("types")
    (folder / "node_modules").symlink_to(grafana_schema / "node_modules")
    file = folder / "dashboards.ts"
    project = {"compilerOptions": COMPILER_OPTIONS, "files": [file.name]}
    (folder / "tsconfig.json").write_text(json.dumps(project))

    def compile(*texts):
        constants = [f"const d{index}: Ours = {text};" for index, text in enumerate(texts)]
        file.write_text("\n".join([TYPES.read_text(), *constants]))
        command = [folder / "node_modules/.bin/tsc", "--project", folder]
        return subprocess.run(command, capture_output=True, text=True).stdout

    return compile


def test_grafana_knows_everything_that_stands_in_the_dashboards(compile_types, dashboards):
    assert compile_types(*map(json.dumps, dashboards.values())) == ""


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('"mergeValues"', '"mergeValue"'),
        ('"never"', '"nevr"'),
        ('"graphTooltip": 1', '"graphTooltip": 7'),
    ],
)
def test_what_grafana_does_not_know_is_found(compile_types, dashboards, right, wrong):
    text = json.dumps(dashboards["run"])

    assert right in text
    assert "error TS" in compile_types(text.replace(right, wrong))
