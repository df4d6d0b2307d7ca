"""The CustomResourceDefinition of TrainingRun, made from the models that read what it admits."""

from typing import Any

from rheostat.cluster.declaration import EXCLUSIVE, Declaration
from rheostat.cluster.names import GROUP, KIND, PLURAL, VERSION
from rheostat.cluster.reported import Status
from rheostat.cluster.structural import Schema, structural
from rheostat.spec.schema import json_schema

_COLUMNS = (
    ("Phase", "string", ".status.phase"),
    ("Step", "string", ".status.display.step"),
    ("Loss", "string", ".status.display.loss"),
    ("LR", "string", ".status.display.learningRate"),
    ("Daemon", "string", ".status.daemon"),
    ("Age", "date", ".metadata.creationTimestamp"),
)
_WIDE = {"Daemon"}
"""Columns of `kubectl get -o wide` only."""


def custom_resource_definition() -> dict[str, Any]:
    """Return the definition, as apiextensions.k8s.io/v1 has it."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "plural": PLURAL,
                "singular": KIND.lower(),
                "kind": KIND,
                "listKind": f"{KIND}List",
                "shortNames": ["tr"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(*column) for column in _COLUMNS],
                    "schema": {"openAPIV3Schema": _schema()},
                }
            ],
        },
    }


def _schema() -> Schema:
    return {
        "type": "object",
        "description": "A training run, and the learning rate that is wanted of it.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": _spec(),
            "status": structural(Status.model_json_schema()),
        },
    }


def _spec() -> Schema:
    spec = structural(Declaration.model_json_schema())
    run = structural(json_schema())
    run["description"] = (
        "What is trained, as in a spec file; it is called as the resource unless it has a name."
    )
    rates = spec["properties"]["learningRate"]
    rates |= _at_most_one_wish()
    rates["properties"]["groups"]["additionalProperties"] |= _at_most_one_wish()
    spec["description"] = "What is trained, by whom, and which learning rate is wanted of it now."
    properties = {"run": run, **spec["properties"]}
    neither = [{"not": {"required": [key]}} for key in ("run", "attached")]
    return {**spec, "not": {"allOf": neither}, "properties": properties}


def _at_most_one_wish() -> Schema:
    pairs = [
        {"required": [first, second]}
        for index, first in enumerate(EXCLUSIVE)
        for second in EXCLUSIVE[index + 1 :]
    ]
    return {"not": {"anyOf": pairs}}


def _column(name: str, kind: str, path: str) -> dict[str, Any]:
    column: dict[str, Any] = {"name": name, "type": kind, "jsonPath": path}
    return {**column, "priority": 1} if name in _WIDE else column
