"""Write the Grafana dashboards of the chart, helm/rheostat/dashboards, from tools/dashboards.

`python tools/dashboards.py` writes them, `--check` fails if what is committed is not what would be
written. The sources say what each panel shows, as `legend: query`; this program and `panels.py`
know how Grafana writes that down, and where on the page it stands.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from panels import COLUMNS, KINDS, Json, letter
from ruamel.yaml import YAML

SOURCES = Path(__file__).with_suffix("")
CHART = Path(__file__).resolve().parent.parent / "helm/rheostat/dashboards"

NAMESPACE = 'namespace=~"$namespace"'
WORDS = {
    "NAMESPACE": NAMESPACE,
    "RUN": f'{NAMESPACE}, run="$run"',
    "RUNS": f'{NAMESPACE}, run=~"$run"',
    "GROUP": 'group=~"$group"',
    # Processes and targets that are no daemons have metrics of the same names.
    "OF_A_DAEMON": f"on (job, instance) last_over_time(rheostat_build_info{{{NAMESPACE}}}[1d])",
}
"""What may stand in a query for what was chosen at the top of the page."""

SCHEMA_VERSION = 39
"""That of Grafana 10.4; newer ones bring a dashboard up to theirs when they load it."""
DATA_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
HEADING_HEIGHT = 1


def panel(described: Json) -> Json:
    """Return a panel of any kind, without a place."""
    (kind,) = KINDS.keys() & described.keys()
    given = {key: value for key, value in described.items() if key not in (kind, "tells")}
    queries = given.pop("queries", {})
    if kind == "table":
        queries = {heading: column["query"] for heading, column in given["columns"].items()}
    at_once = {"format": "table", "instant": True} if kind == "table" else {"range": True}
    targets = [
        {
            "refId": letter(place),
            "datasource": DATA_SOURCE,
            "expr": spelled_out(query),
            "legendFormat": legend,
            **at_once,
        }
        for place, (legend, query) in enumerate(queries.items())
    ]
    return {
        "title": described[kind],
        "description": described["tells"],
        "datasource": DATA_SOURCE,
        **KINDS[kind](**given),
        "targets": targets,
    }


def arranged(rows: Sequence[Json]) -> Iterator[Json]:
    """Yield all panels with a place and a number: from left to right, as many as fit beside each
    other, below the heading of their row."""
    number = y = 0
    for row in rows:
        if "title" in row:
            number += 1
            place = {"x": 0, "y": y, "w": COLUMNS, "h": HEADING_HEIGHT}
            heading = {"type": "row", "title": row["title"], "collapsed": False, "panels": []}
            yield {"id": number, **heading, "gridPos": place}
            y += HEADING_HEIGHT
        x = height = 0
        for made in map(panel, row["panels"]):
            number += 1
            size = made["gridPos"]
            if x + size["w"] > COLUMNS:
                x, y = 0, y + height
            yield {"id": number, **made, "gridPos": {"x": x, "y": y, **size}}
            x, height = x + size["w"], size["h"]
        y += height


def variable(*, name: str, label: str, values: str, chooses_many: bool = True) -> Json:
    """Return a choice at the top of the page, whose values Prometheus knows.

    "All" is `.*`, so that it holds for series that have no such label, too.
    """
    everything = {"text": "All", "value": "$__all"}
    many = {"multi": True, "includeAll": True, "allValue": ".*", "current": everything}
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": DATA_SOURCE,
        "query": {"qryType": 1, "query": spelled_out(values), "refId": f"values-{name}"},
        "refresh": 2,  # with the time range: the runs of last week are others
        "sort": 1,
        **(many if chooses_many else {}),
    }


def annotation(*, name: str, color: str, counts: str, title: str) -> Json:
    """Return a mark on all graphs for each time that a counter has grown."""
    # A counter that nothing was counted with has no series: before its first value it was 0.
    growth = f"({counts} - ({counts} offset $__interval or {counts} * 0)) > 0"
    return {
        "name": name,
        "datasource": DATA_SOURCE,
        "enable": True,
        "iconColor": color,
        "target": {"refId": name, "expr": spelled_out(growth)},
        "titleFormat": title,
    }


def dashboard(described: Json) -> Json:
    """Return a dashboard as Grafana imports it."""
    source = {"name": "datasource", "label": "Data source", "type": "datasource"}
    others = {
        "type": "dashboards",
        "tags": ["rheostat"],
        "title": "Rheostat",
        "tooltip": "The other dashboards of Rheostat",
        "icon": "dashboard",
        "asDropdown": True,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
    }
    variables = [variable(**one) for one in described["variables"]]
    return {
        "uid": described["uid"],
        "title": described["title"],
        "description": described["tells"],
        "tags": ["rheostat"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,  # one crosshair for all graphs
        "refresh": "10s",
        "time": {"from": described["since"], "to": "now"},
        "timezone": "browser",
        "links": [others],
        "annotations": {"list": [annotation(**one) for one in described.get("annotations", ())]},
        "templating": {"list": [{**source, "query": "prometheus"}, *variables]},
        "panels": list(arranged(described["rows"])),
    }


def spelled_out(query: str) -> str:
    """Return a query with our words replaced by what they stand for."""
    return re.sub(r"\b[A-Z_]{3,}\b", lambda word: WORDS.get(word[0], word[0]), query)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only compare")
    is_check = parser.parse_args().check
    yaml = YAML(typ="safe", pure=True)
    made = {
        CHART / f"{source.stem}.json": json.dumps(dashboard(yaml.load(source)), indent=2) + "\n"
        for source in SOURCES.glob("*.yaml")
    }
    if is_check:
        is_stale = made != {file: file.read_text() for file in CHART.glob("*.json")}
        if is_stale:
            print("not up to date, run `python tools/dashboards.py`", file=sys.stderr)
        return int(is_stale)
    CHART.mkdir(exist_ok=True)
    for file, text in made.items():
        file.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
