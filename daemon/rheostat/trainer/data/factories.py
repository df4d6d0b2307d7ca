"""Factories of models and data sets: found by name, their arguments checked, then called.

Unlike a schedule or a policy, such a factory gets what Rheostat knows by keyword, and only if its
signature asks for it.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rheostat.errors import InvalidSpec, Violation
from rheostat.spec.arguments import check_arguments
from rheostat.spec.resolving import resolve
from rheostat.spec.wording import written

Factory = Callable[..., Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FactoryKind:
    """One section of a spec whose `name` is a factory and whose `args` are its arguments."""

    section: str
    """Key of the section in the spec, e.g. `model`; starts the path of every violation."""
    builtins: Mapping[str, Factory]
    """Factories that come with Rheostat, by name."""
    entry_points: str
    """Entry-point group of everybody else's."""

    def find(self, name: str) -> Factory:
        """Return the factory of a name.

        Raises:
            InvalidSpec: there is none, or it cannot be imported.
        """
        try:
            factory = resolve(name, builtins=self.builtins, entry_points=self.entry_points)
        except ValueError as error:
            raise self.invalid_name(name, str(error)) from error
        if not callable(factory):
            raise self.invalid_name(name, f"a function or class, not a {type(factory).__name__}")
        return factory

    def call(self, factory: Factory, args: Mapping[str, Any], supplied: Mapping[str, Any]) -> Any:
        """Call a factory with a spec's `args`, and those of `supplied` that it names.

        Raises:
            InvalidSpec: arguments are unknown, missing or of another type, each with its field; or
                the factory refuses one with a TypeError or ValueError.
        """
        path = f"{self.section}.args"
        violations = check_arguments(factory, args, path=path, supplied=supplied)
        if violations:
            raise InvalidSpec(violations)
        wanted = {name: value for name, value in supplied.items() if parameter(factory, name)}
        try:
            return factory(**args, **wanted)
        except (TypeError, ValueError) as error:
            raise InvalidSpec([_refusal(str(error), args, path)]) from error

    def invalid_name(self, name: str, expected: str) -> InvalidSpec:
        """Return the error for a name that will not do."""
        return InvalidSpec([Violation(f"{self.section}.name", name, expected)])


def parameter(factory: Factory, name: str) -> inspect.Parameter | None:
    """Return the parameter of that name, None where none can be given by keyword."""
    try:
        found = inspect.signature(factory).parameters.get(name)
    except ValueError:  # written in C, without a signature
        return None
    by_keyword = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return found if found is not None and found.kind in by_keyword else None


def invalid_arg(section: str, name: str, value: Any, expected: str) -> InvalidSpec:
    """Return the error for an argument whose value will not do."""
    return InvalidSpec([Violation(f"{section}.args.{name}", written(value), expected)])


def _refusal(text: str, args: Mapping[str, Any], path: str) -> Violation:
    """Blame the one argument that Python names, where a factory passed its keywords on."""
    named = re.search(r"unexpected keyword argument '(\w+)'", text)
    if named and named[1] in args:
        return Violation(f"{path}.{named[1]}", written(args[named[1]]), "no such argument")
    return Violation(path, written(args), text)
