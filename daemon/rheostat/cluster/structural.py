"""JSON Schema, as pydantic writes it, into the structural schema that Kubernetes asks for.

Kubernetes knows no references, no `const`, no null type and no alternatives of different types.
What it cannot say it is told to leave alone; the daemon checks every run again and names each
mistake.
"""

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]

ANYTHING: Mapping[str, Any] = {"x-kubernetes-preserve-unknown-fields": True}
"""Keeps whatever stands there."""
_KEPT = (
    "type",
    "description",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minimum",
    "maximum",
)
_LARGEST_BOUND = 2**53
"""API servers keep bounds as floats and compare them as 64-bit integers, which large ones are not:
that of a seed would come out negative."""
_BOUNDS = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}


def structural(document: Mapping[str, Any]) -> Schema:
    """Return the structural schema of a JSON Schema document.

    Defaults are left out: what the API server fills in would stay as it is when a later version of
    Rheostat has another default.
    """
    return _Converter(document.get("$defs", {})).convert(document)


class _Converter:
    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions

    def convert(self, schema: Mapping[str, Any]) -> Schema:
        if "$ref" in schema:
            named = self._definitions[schema["$ref"].rpartition("/")[2]]
            return self.convert({**named, **{k: v for k, v in schema.items() if k != "$ref"}})
        alternatives = schema.get("anyOf") or schema.get("oneOf")
        if alternatives:
            return self._one_of(alternatives, schema)
        converted = {key: schema[key] for key in _KEPT if key in schema}
        if "const" in schema:
            converted["enum"] = [schema["const"]]
        for key, bound in _BOUNDS.items():
            if key in schema and abs(schema[key]) < _LARGEST_BOUND:
                converted |= {bound: schema[key], key: True}
        if schema.get("type") == "array":
            converted["items"] = self.convert(schema["items"])
        if schema.get("type") == "object":
            converted |= self._members(schema)
        return converted

    def _members(self, schema: Mapping[str, Any]) -> Schema:
        if "properties" in schema:
            members: Schema = {
                "properties": {
                    name: self.convert(member) for name, member in schema["properties"].items()
                }
            }
            if schema.get("required"):
                members["required"] = list(schema["required"])
            return members
        values = schema.get("additionalProperties", True)
        if isinstance(values, bool):
            return dict(ANYTHING)
        return {"additionalProperties": self.convert(values)}

    def _one_of(self, alternatives: list[Schema], schema: Mapping[str, Any]) -> Schema:
        possible = [self.convert(one) for one in alternatives if one.get("type") != "null"]
        merged = possible[0]
        for one in possible[1:]:
            merged = _merged(merged, one)
        described = {"description": schema["description"]} if "description" in schema else {}
        nullable = {"nullable": True} if len(possible) < len(alternatives) else {}
        return {**merged, **described, **nullable}


def _merged(first: Schema, second: Schema) -> Schema:
    """Return a schema that admits whatever one of two admits, and as little else as can be said."""
    if first == second:
        return first
    if first.get("type") != second.get("type"):
        return dict(ANYTHING)
    if "properties" in first and "properties" in second:
        return _merged_objects(first, second)
    if "enum" in first and "enum" in second:
        return {**first, "enum": sorted({*first["enum"], *second["enum"]})}
    common = {key: value for key, value in first.items() if second.get(key) == value}
    for key, bound in _BOUNDS.items():
        if bound not in common:
            common.pop(key, None)
    if "items" in first:
        common["items"] = _merged(first["items"], second["items"])
    if common["type"] == "object" and "additionalProperties" not in common:
        common |= ANYTHING
    nullable = {"nullable": True} if first.get("nullable") or second.get("nullable") else {}
    return {**common, **nullable}


def _merged_objects(first: Schema, second: Schema) -> Schema:
    ours, theirs = first["properties"], second["properties"]
    properties = {
        name: _merged(ours[name], theirs[name])
        if name in ours and name in theirs
        else ours.get(name, theirs.get(name))
        for name in {**ours, **theirs}
    }
    required = [name for name in first.get("required", ()) if name in second.get("required", ())]
    return {
        "type": "object",
        "properties": properties,
        **({"required": required} if required else {}),
    }
