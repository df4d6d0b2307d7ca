"""Spec files: read, overridden, checked; and the verbs `validate` and `schema`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from rheostat.cli.options import Overrides, SpecFile
from rheostat.cli.overrides import override
from rheostat.cli.terminal import tell
from rheostat.errors import InvalidSpec, Violation
from rheostat.spec.loading import read_file
from rheostat.spec.models import Spec
from rheostat.spec.schema import json_schema
from rheostat.spec.validation import parse


def validate(spec: SpecFile, overrides: Overrides = None) -> None:
    """Find every mistake in a spec, without training anything."""
    from rheostat.trainer.planning import plan

    plan(check_all(read_spec(spec, overrides)))
    tell("ok")


def schema() -> None:
    """Print the JSON Schema of specs, for editors and generators."""
    typer.echo(json.dumps(json_schema(), indent=2))


def read_spec(
    path: Path, overrides: Sequence[str] | None = None, name: str | None = None
) -> dict[str, Any]:
    """Read a spec file, with the command line's changes to it.

    Raises:
        InvalidSpec: if it is not a document, or a change does not fit it.
    """
    document = override(read_file(path), overrides or ())
    if name is not None:
        document["name"] = name
    # The daemon may live in another folder than the person who wrote a relative path.
    data, model = document.get("data"), document.get("model")
    _make_absolute(data, "root")
    if isinstance(data, dict) and data.get("name") == "text":
        _make_absolute(data.get("args"), "tokenizer")
    if isinstance(model, dict) and model.get("name") == "hugging_face":
        _make_absolute(model.get("args"), "path")
    policies = document.get("policies")
    for policy in policies if isinstance(policies, list) else []:
        if isinstance(policy, dict) and policy.get("name") == "learned":
            _make_absolute(policy.get("args"), "file")
    return document


def _make_absolute(section: Any, key: str) -> None:
    if isinstance(section, dict) and isinstance(section.get(key), str):
        section[key] = str(Path(section[key]).expanduser().absolute())


def check(document: dict[str, Any]) -> Spec:
    """Return the spec of a document, checked without torch as far as that goes.

    Raises:
        InvalidSpec: if anything is wrong, with what only the trainer can see as well.
    """
    spec, violations = parse(document, import_plugins=True)
    if spec is None:
        raise InvalidSpec(with_deep_violations(document, violations))
    return spec


def check_all(document: dict[str, Any]) -> Spec:
    """Return the spec of a document, checked by the trainer's room too.

    Raises:
        InvalidSpec: if anything is wrong.
    """
    spec = check(document)
    violations = with_deep_violations(document, [])
    if violations:
        raise InvalidSpec(violations)
    return spec


def with_deep_violations(
    document: dict[str, Any], violations: Sequence[Violation]
) -> list[Violation]:
    """Return violations and what else is wrong that only torch can see, once per field."""
    from rheostat.trainer import checking

    seen = {violation.field for violation in violations}
    deep = [violation for violation in checking.check(document) if violation.field not in seen]
    return [*violations, *deep]
