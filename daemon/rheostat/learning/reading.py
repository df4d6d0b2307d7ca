"""Sections of a configuration: plain data in, checked settings out, every mistake named."""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from rheostat.errors import InvalidSpec, Violation
from rheostat.spec.section import Section
from rheostat.spec.wording import did_you_mean, field_path, violations_of, written

S = TypeVar("S", bound=Section)


def read_section(section: type[S], document: Mapping[str, Any], path: str = "") -> S:
    """Return the settings that a mapping holds.

    Args:
        section: what they are; without sections of its own.
        document: as JSON or YAML gives it.
        path: where it stands, for the errors.

    Raises:
        InvalidSpec: with every mistake, unknown keys among them.
    """
    try:
        return section.model_validate_json(json.dumps(document), strict=True)
    except ValidationError as failure:
        errors = failure.errors(include_url=False)
        unknown = [error for error in errors if error["type"] == "extra_forbidden"]
        known = [error for error in errors if error["type"] != "extra_forbidden"]
        raise InvalidSpec(
            [
                *(_unknown_key(section, error, path) for error in unknown),
                *violations_of(known, document, path),
            ]
        ) from failure


def with_root(spec: Mapping[str, Any], roots: Mapping[str, str]) -> Mapping[str, Any]:
    """Return a spec's document whose data lie where `roots` says, if it names their data set.

    Args:
        spec: as JSON or YAML gives it.
        roots: folders by the name of a data set.
    """
    data = spec.get("data")
    if not isinstance(data, Mapping) or data.get("name") not in roots:
        return spec
    return {**spec, "data": {**data, "root": roots[str(data["name"])]}}


def _unknown_key(section: type[Section], error: ErrorDetails, path: str) -> Violation:
    hint = did_you_mean(str(error["loc"][-1]), section.model_fields)
    field = field_path(error["loc"], path)
    return Violation(field, written(error["input"]), f"unknown key, {hint}")
