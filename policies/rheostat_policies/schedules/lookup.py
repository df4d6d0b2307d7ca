"""What a spec can only name: functions by import path, and the parts of a composed schedule."""

import inspect
from collections.abc import Callable, Mapping
from functools import reduce
from importlib import import_module, metadata
from typing import Any

from rheostat_policies.schedules.api import Curve, ScheduleRun

Part = Mapping[str, Any]
"""A schedule inside another: `{name: ..., args: {...}}`, as a spec writes the outer one."""


def function_of(name: str, value: Callable[..., Any] | str) -> Callable[..., Any]:
    """Return the function that an argument stands for.

    Args:
        name: the argument, for the error.
        value: the function itself, or its import path `package.module:function`.

    Raises:
        ValueError: if it cannot be imported or called.
    """
    found = _imported(name, value) if isinstance(value, str) else value
    if not callable(found):
        raise ValueError(f"{name}={value} must be a function, not a {type(found).__name__}")
    return found


def make_part(part: Part, run: ScheduleRun, name: str) -> Curve:
    """Make the curve of a schedule inside another.

    Args:
        part: its name and arguments; the name is a built-in, an installed entry point of
            `rheostat.schedules`, or `package.module:factory`.
        run: what it is made for.
        name: where it stands, e.g. `schedules[0]`, for the error.

    Raises:
        ValueError: if it is no schedule or refuses its arguments.

    >>> run = ScheduleRun(lr=0.1, steps=30, steps_per_epoch=5)
    >>> make_part({"name": "StepLR", "args": {"step_size": 10}}, run, "schedule").learning_rate(0)
    0.1
    """
    unknown = sorted(set(part) - {"name", "args"})
    if not isinstance(part.get("name"), str) or unknown:
        raise ValueError(f"{name}={dict(part)} must have a name, may have args, and nothing else")
    factory = _factory(part["name"], name)
    args = part.get("args") or {}
    try:
        inspect.signature(factory).bind(run, **args)
    except TypeError as error:
        raise ValueError(f"{name}.args of {part['name']}: {error}") from None
    try:
        curve = factory(run, **args)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}.args of {part['name']}: {error}") from error
    if not isinstance(curve, Curve):
        raise ValueError(
            f"{name}.name={part['name']} must make a Curve, but made a {type(curve).__name__}"
        )
    return curve


def _factory(schedule: str, name: str) -> Callable[..., Any]:
    from rheostat_policies.schedules import SCHEDULES  # which holds the composed ones too

    if schedule in SCHEDULES:
        return SCHEDULES[schedule]
    for point in metadata.entry_points(group="rheostat.schedules", name=schedule):
        return function_of(f"{name}.name", point.value)
    return function_of(f"{name}.name", schedule)


def _imported(name: str, path: str) -> Any:
    module, colon, attribute = path.partition(":")
    if not colon:
        raise ValueError(f"{name}={path} must be a known name, or package.module:function")
    try:
        return reduce(getattr, attribute.split("."), import_module(module))
    except Exception as error:  # importing runs other people's code
        raise ValueError(
            f"{name}={path} must be importable, but: {type(error).__name__}: {error}"
        ) from error
