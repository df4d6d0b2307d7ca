"""Panels of a Grafana dashboard, as Grafana writes them down: how each kind looks.

Titles, queries and places are added by `dashboards.py`, which is run; this is what it imports.
"""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

COLUMNS = 24
"""Width of Grafana's grid."""


def graph(
    *, unit: str = "short", logarithmic: bool = False, dashed: str = "", width: int = 12
) -> Json:
    """Return lines over time; those whose name ends with what `dashed` matches are dashed."""
    scale = {"type": "log", "log": 10} if logarithmic else {"type": "linear"}
    style = {"fill": "dash", "dash": [8, 8]}
    overrides = [_override("byRegexp", f"/{dashed}/", "custom.lineStyle", style)] if dashed else []
    custom = {"lineWidth": 1, "showPoints": "never", "scaleDistribution": scale}
    return {
        "type": "timeseries",
        "gridPos": {"w": width, "h": 8},
        "fieldConfig": {"defaults": {"unit": unit, "custom": custom}, "overrides": overrides},
        "options": {"legend": _legend(True), "tooltip": {"mode": "multi", "sort": "desc"}},
    }


def stat(
    *, unit: str = "short", shows_name: bool = False, if_none: str = "-", width: int = 3
) -> Json:
    """Return the newest value, or the name of the series, in large letters."""
    defaults: Json = {"unit": unit, "noValue": if_none}
    options = {
        "colorMode": "none",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "percentChangeColorMode": "standard",
        "reduceOptions": {"calcs": ["lastNotNull"]},
        "showPercentChange": False,
        "textMode": "name" if shows_name else "value",
        "wideLayout": True,
    }
    return {
        "type": "stat",
        "gridPos": {"w": width, "h": 4},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
    }


def timeline(*, texts: Mapping[int, tuple[str, str]], width: int = 12) -> Json:
    """Return a bar for each series, with a text and a colour for each value."""
    results = {str(value): {"text": text, "color": color} for value, (text, color) in texts.items()}
    mappings = [{"type": "value", "options": results}]
    options = {
        "legend": _legend(False),
        "mergeValues": True,
        "rowHeight": 0.8,
        "showValue": "auto",
        "tooltip": {"mode": "single", "sort": "none"},
    }
    return {
        "type": "state-timeline",
        "gridPos": {"w": width, "h": 8},
        "fieldConfig": {"defaults": {"mappings": mappings}, "overrides": []},
        "options": options,
    }


def table(*, columns: Mapping[str, Json], links: Mapping[str, str]) -> Json:
    """Return present values, in a line for each set of labels.

    A column whose values are `hidden` is there for its labels. `links` are the dashboards to which
    a label leads.
    """
    headings = {f"Value #{letter(place)}": heading for place, heading in enumerate(columns)}
    hidden = [value for value, heading in headings.items() if columns[heading].get("hidden")]
    shape = {"excludeByName": dict.fromkeys(["Time", *hidden], True), "renameByName": headings}
    units = [
        _override("byName", heading, "unit", column.get("unit", "short"))
        for heading, column in columns.items()
    ]
    return {
        "type": "table",
        "gridPos": {"w": COLUMNS, "h": 8},
        "fieldConfig": {
            "defaults": {},
            "overrides": [*units, *(_link(label, uid) for label, uid in links.items())],
        },
        "options": {"cellHeight": "sm", "frameIndex": 0, "showHeader": True},
        "transformations": [
            {"id": "merge", "options": {}},
            {"id": "organize", "options": shape},
        ],
    }


KINDS = {"graph": graph, "stat": stat, "timeline": timeline, "table": table}
"""By the words of the sources."""


def letter(place: int) -> str:
    """Return how Grafana calls the query at a place of a panel, counted from 0."""
    return chr(ord("A") + place)


def _legend(is_shown: bool) -> Json:
    return {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": is_shown}


def _link(label: str, uid: str) -> Json:
    url = f"/d/{uid}?${{datasource:queryparam}}&var-{label}=${{__value.text:percentencode}}"
    return _override("byName", label, "links", [{"title": f"Open the {label}", "url": url}])


def _override(matcher: str, what: str, name: str, value: Any) -> Json:
    properties = [{"id": name, "value": value}]
    return {"matcher": {"id": matcher, "options": what}, "properties": properties}
