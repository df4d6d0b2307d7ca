"""Keyword arguments against the signature of what they are for, before it is called."""

import inspect
import json
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic.warnings import ArbitraryTypeWarning

from rheostat.errors import Violation
from rheostat.spec.wording import did_you_mean, field_path, violations_of, written

_BY_KEYWORD = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def check_arguments(
    function: Callable[..., Any],
    args: Mapping[str, Any],
    *,
    path: str,
    leading: int = 0,
    supplied: Collection[str] = (),
) -> list[Violation]:
    """Return what is wrong with `args` as keyword arguments of `function`.

    Finds arguments that do not exist, that are missing, and, where a parameter is annotated, that
    are of another type. A whole number passes for a float and a list for a tuple; nothing else is
    converted. Ranges are the function's own business.

    Args:
        function: a function or class; one without a readable signature takes anything.
        args: what the spec says: JSON values by name.
        path: where in the spec they stand, e.g. `schedule.args`.
        leading: number of its first parameters that the caller fills in by position.
        supplied: names of those that the caller fills in by keyword.
    """
    try:
        parameters = list(_signature(function).parameters.values())[leading:]
    except (ValueError, TypeError):
        return []
    takes_any = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters)
    named = {
        each.name: each
        for each in parameters
        if each.kind in _BY_KEYWORD and each.name not in supplied
    }
    violations: list[Violation] = []
    for name, value in args.items():
        if name in named:
            violations += _type_violations(named[name].annotation, name, value, path)
        elif name in supplied or not takes_any:
            hint = did_you_mean(name, named)
            violations.append(
                Violation(field_path((name,), path), written(value), f"unknown argument, {hint}")
            )
    violations += _missing(named.values(), args, path)
    return violations


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function, eval_str=True)
    except NameError:  # annotations that only a type checker can read
        return inspect.signature(function)


def _missing(
    parameters: Collection[inspect.Parameter], args: Mapping[str, Any], path: str
) -> Iterator[Violation]:
    for parameter in parameters:
        if parameter.default is inspect.Parameter.empty and parameter.name not in args:
            yield Violation(field_path((parameter.name,), path), "", "is required")


def _type_violations(annotation: Any, name: str, value: Any, path: str) -> list[Violation]:
    if annotation is inspect.Parameter.empty or isinstance(annotation, str):
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ArbitraryTypeWarning)  # an annotation that is no type
            adapter = TypeAdapter[Any](
                dict[str, annotation], config=ConfigDict(arbitrary_types_allowed=True)
            )
    except PydanticUserError:
        return []  # a type that pydantic has no rule for
    argument = {name: value}
    try:
        # Strict JSON is what a spec can say: lists for tuples, but no text for numbers.
        adapter.validate_json(json.dumps(argument), strict=True)
    except ValidationError as error:
        return violations_of(error.errors(include_url=False), argument, path)
    return []
