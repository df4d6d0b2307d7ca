"""Pydantic's findings in plain words: which field, what was written there, what was expected."""

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import ErrorDetails

from rheostat.errors import Violation
from rheostat.spec.section import NAME_PATTERN

_MAX_VALUE_LENGTH = 80
_MAX_KNOWN = 40
_UNWRITABLE = "left out; no spec can write what it takes"
_EXPECTED = {
    "missing": "is required",
    "int_type": "a whole number, written without exponent or decimal point",
    "int_from_float": "a whole number, written without exponent or decimal point",
    "int_parsing_size": "a whole number of a reasonable size",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "none_required": "null",
    "greater_than": "greater than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "literal_error": "{expected}",
    "string_pattern_mismatch": "text that matches {pattern}",
    "too_short": "at least {min_length} items",
    "too_long": "at most {max_length} items",
    **dict.fromkeys(("needs_python_object", "is_instance_of"), _UNWRITABLE),
    **dict.fromkeys(("dict_type", "model_type", "mapping_type"), "a mapping of keys to values"),
    **dict.fromkeys(("list_type", "tuple_type", "set_type"), "a list"),
}
"""What was expected, by pydantic's error type; in braces, what the error's context fills in."""


def field_path(parts: Iterable[str | int], top: str = "") -> str:
    """Join keys and indices as people write them.

    >>> field_path(("groups", 1, "lr_scale"))
    'groups[1].lr_scale'
    """
    path = top
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{part}" if path else part
    return path


def written(value: Any) -> str:
    """Return a value as it could stand in the spec, shortened where it is long."""
    if isinstance(value, str) and _is_plain(value):
        text = value
    elif isinstance(value, int) and abs(value) > 10**_MAX_VALUE_LENGTH:
        text = "a very large number"  # which Python refuses to print
    else:
        text = json.dumps(value, default=str)
    return text if len(text) <= _MAX_VALUE_LENGTH else text[: _MAX_VALUE_LENGTH - 1] + "…"


def _is_plain(text: str) -> bool:
    """Whether a text can stand without quotes and not be taken for a number or the like."""
    try:
        json.loads(text)
    except ValueError:
        return text.strip() == text != "" and text.isprintable()
    return False


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the close matches of a wrong name and then all that are known, as a phrase.

    >>> did_you_mean("gama", ["gamma", "step_size"])
    'did you mean gamma? (known: gamma, step_size)'
    """
    known = sorted(known)
    if not known:
        return "none is known here"
    spellings = {spelling.lower(): spelling for spelling in known}
    close = difflib.get_close_matches(name.lower(), spellings, n=3)
    guess = f"did you mean {' or '.join(spellings[match] for match in close)}?" if close else ""
    every = f"known: {', '.join(known)}" if len(known) <= _MAX_KNOWN else ""
    if guess and every:
        return f"{guess} ({every})"
    return guess or every or f"none of the {len(known)} known"


def violations_of(errors: Iterable[ErrorDetails], document: Any, top: str = "") -> list[Violation]:
    """Translate pydantic's errors into one violation per field, in their order.

    Pydantic reports each branch of a union by itself, with the branch's name at the end of the
    location; here they become one phrase joined by "or".

    Args:
        errors: what `ValidationError.errors()` returns; unknown keys are not among them.
        document: what was validated, to tell fields from branches.
        top: path of the document itself, if it is part of a larger one.
    """
    found: dict[str, tuple[str, list[str]]] = {}
    for error in errors:
        parts, value = _location(error, document)
        absent = error["type"] == "missing"
        _, phrases = found.setdefault(
            field_path(parts, top), ("" if absent else written(value), [])
        )
        phrase = _phrase(error)
        if phrase not in phrases:
            phrases.append(phrase)
    violations = []
    for field, (value, phrases) in found.items():
        writable = [phrase for phrase in phrases if phrase != _UNWRITABLE]
        violations.append(Violation(field, value, ", or ".join(writable or phrases)))
    return violations


def _location(error: ErrorDetails, document: Any) -> tuple[list[str | int], Any]:
    """Return the part of the error's location that the document has, and what stands there."""
    parts: list[str | int] = []
    value = document
    for part in error["loc"]:
        try:
            value = value[part]
        except (LookupError, TypeError):
            missing = error["type"] == "missing" and isinstance(value, Mapping | list)
            return ([*parts, part], None) if missing else (parts, value)
        parts.append(part)
    return parts, value


def _phrase(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    if error["type"] == "value_error":
        return str(context["error"])
    if context.get("pattern") == NAME_PATTERN:
        return "lower-case letters, digits, '-', '_' or '.', at most 63, with no mark at either end"
    template = _EXPECTED.get(error["type"])
    if template is None:
        return error["msg"][:1].lower() + error["msg"][1:]
    return template.format(**context)
