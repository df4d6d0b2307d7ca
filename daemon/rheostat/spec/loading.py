"""Text into a document: plain mappings, lists, strings, numbers, booleans and nulls."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from rheostat.errors import InvalidSpec, Violation
from rheostat.spec.wording import written

MAX_VALUES = 100_000
"""Values in one document, aliases counted as often as they are used."""
MAX_DEPTH = 64
"""Mappings and lists inside one another."""
MAX_LENGTH = 4 * 2**20
"""Characters of one document."""
MAX_YAML_LENGTH = 2**18
"""The same, where it is not JSON: YAML is read a hundred times slower, and people write less."""
MAX_INTEGER = 2**64 - 1
"""Largest whole number that the messages to the trainer can carry."""


def read_file(path: Path) -> dict[str, Any]:
    """Read the spec in a file.

    Raises:
        InvalidSpec: if the file cannot be read or is not a document; names the path, and the line
            and column where there are any.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise _invalid(str(path), f"must be UTF-8 text; byte {error.start} is not") from error
    except OSError as error:
        raise _invalid(str(path), f"cannot be read: {error.strerror}") from error
    return read_document(text, str(path))


def read_document(text: str, origin: str) -> dict[str, Any]:
    """Read YAML 1.2, and so JSON, into a mapping that JSON can carry.

    Args:
        text: the document.
        origin: what the errors call it, such as its path.

    Raises:
        InvalidSpec: if it is not YAML, repeats a key, is not a mapping, or holds a value that JSON
            has no word for (a date, NaN, a value that contains itself).
    """
    document = _parse(text, origin)
    if not isinstance(document, dict):
        given = "empty" if document is None else f"{written(document)}"
        raise _invalid(origin, f"must be a mapping of keys to values at the top, but is {given}")
    violations = list(foreign_values(document))
    if violations:
        raise InvalidSpec(violations)
    return document


def read_value(text: str, origin: str) -> Any:
    """Read one value, written as it would stand in a document: `1e-3` is a number.

    Raises:
        InvalidSpec: as `read_document` does.
    """
    value = _parse(text, origin)
    violations = list(foreign_values(value, origin))
    if violations:
        raise InvalidSpec(violations)
    return value


def _parse(text: str, origin: str) -> Any:
    if len(text) > MAX_LENGTH:
        raise _invalid(origin, f"must have at most {MAX_LENGTH:,} characters, not {len(text):,}")
    if text.lstrip().startswith("{"):
        try:
            # Not only faster: in YAML an escaped surrogate pair is two broken characters.
            return json.loads(text, object_pairs_hook=_without_duplicates)
        except (ValueError, RecursionError):
            pass  # a flow mapping, or a mistake whose line and column YAML's reader knows
    if len(text) > MAX_YAML_LENGTH:
        expected = f"must have at most {MAX_YAML_LENGTH:,} characters, not {len(text):,}"
        raise _invalid(origin, f"{expected}, unless it is JSON")
    try:
        return _reader().load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{origin}, line {mark.line + 1}, column {mark.column + 1}" if mark else origin
        raise _invalid(where, _problem(error)) from error
    except YAMLError as error:
        raise _invalid(origin, str(error).splitlines()[0]) from error
    except RecursionError as error:
        raise _invalid(origin, "must not be nested this deep") from error
    except TypeError as error:
        raise _invalid(origin, "has a list or a mapping where a key must be") from error
    except ValueError as error:
        raise _invalid(origin, f"holds a value that cannot be read: {error}") from error


def _reader() -> YAML:
    reader = YAML(typ="safe", pure=True)
    reader.Constructor = _BoundedConstructor
    return reader


class _BoundedConstructor(SafeConstructor):
    """Gives up on merge keys that multiply: a page of them makes more than any memory holds."""

    _merged = 0

    def flatten_mapping(self, node: Any) -> Any:
        merged = super().flatten_mapping(node)
        self._merged += len(node.value)
        if self._merged > MAX_VALUES:
            raise ValueError(f"merge keys that make more than {MAX_VALUES:,} values")
        return merged


def _problem(error: MarkedYAMLError) -> str:
    problem = error.problem or error.context or "not YAML"
    if "'\\t'" in problem:
        return "must be indented with spaces, not tabs"
    return problem


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        raise ValueError("duplicate key")
    return mapping


def foreign_values(document: Any, top: str = "") -> Iterator[Violation]:
    """Yield a violation for each value that could not travel to the trainer as it is.

    Args:
        document: what was read.
        top: path of it in the whole.
    """
    pending: list[tuple[Any, str, int]] = [(document, top, 0)]
    seen = 0
    while pending:
        value, path, depth = pending.pop()
        seen += 1
        if seen > MAX_VALUES:
            yield Violation(top or "spec", "", f"must hold at most {MAX_VALUES:,} values")
            return
        if depth > MAX_DEPTH:
            yield Violation(path[:80], "", f"must be nested at most {MAX_DEPTH} deep")
            return  # also the way out of a value that contains itself
        if isinstance(value, dict):
            for key, inner in value.items():
                inner_path = f"{path}.{key}" if path else str(key)
                if not isinstance(key, str):
                    yield Violation(inner_path, "", "keys must be text; quote this one")
                pending.append((inner, inner_path, depth + 1))
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                pending.append((inner, f"{path}[{index}]", depth + 1))
        elif (expected := _foreign(value)) is not None:
            yield Violation(path, written(value), expected)


def _foreign(value: Any) -> str | None:
    """Return what was expected instead of a scalar, or None if it is fine."""
    if isinstance(value, float) and not math.isfinite(value):
        return "a finite number"
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        return f"a whole number of at most {MAX_INTEGER}"
    if isinstance(value, str) and not value.isprintable() and not _is_unicode(value):
        return "text without broken characters"
    if not isinstance(value, str | int | float | None):
        return "text, a number, true, false or null; quote it"
    return None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _invalid(where: str, problem: str) -> InvalidSpec:
    return InvalidSpec([Violation(where, "", problem)])
