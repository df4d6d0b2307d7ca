"""`--set path=value`: changes to a document from the command line."""

import copy
import re
from collections.abc import Sequence
from typing import Any

from rheostat.errors import InvalidSpec, Violation
from rheostat.spec.loading import read_value

_PATH = re.compile(r"[^.\[\]=]+(\[\d+\])*(\.[^.\[\]=]+(\[\d+\])*)*")
_PART = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


def override(document: dict[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Return a copy of a document in which some values are replaced.

    Args:
        document: a spec's document.
        assignments: `path=value` each, e.g. `groups[0].lr=1e-3`. The value is read as YAML;
            mappings on the way are made, list items must exist.

    Raises:
        InvalidSpec: with every assignment that cannot be read or does not fit.
    """
    changed = copy.deepcopy(document)
    violations: list[Violation] = []
    for assignment in assignments:
        try:
            _assign(changed, assignment)
        except InvalidSpec as error:
            violations += error.violations
    if violations:
        raise InvalidSpec(violations)
    return changed


def _assign(document: dict[str, Any], assignment: str) -> None:
    path, equals, text = assignment.partition("=")
    if not equals or not _PATH.fullmatch(path):
        raise _misfit("--set", assignment, "path=value, such as train.steps=500")
    parts = [int(index) if index else key for index, key in _PART.findall(path)]
    value = read_value(text, f"--set {path}")
    holder: Any = document
    for part in parts[:-1]:
        if isinstance(part, str) and isinstance(holder, dict) and holder.get(part) is None:
            holder[part] = {}
        holder = _step_into(holder, part, path)
    _step_into(holder, parts[-1], path, may_be_new=True)
    holder[parts[-1]] = value


def _step_into(holder: Any, part: str | int, path: str, *, may_be_new: bool = False) -> Any:
    if isinstance(part, str) and isinstance(holder, dict):
        return holder.get(part) if may_be_new else holder[part]
    if isinstance(part, int) and isinstance(holder, list) and part < len(holder):
        return holder[part]
    step = f"[{part}]" if isinstance(part, int) else part
    raise _misfit(f"--set {path}", "", f"a path that exists in the spec; it has no {step} there")


def _misfit(field: str, value: str, expected: str) -> InvalidSpec:
    return InvalidSpec([Violation(field, value, expected)])
