"""Names into objects: a built-in, an installed entry point, or `package.module:attribute`."""

import importlib
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any, TypeVar, cast

from rheostat.spec.wording import did_you_mean

T = TypeVar("T")


def resolve(name: str, *, builtins: Mapping[str, T], entry_points: str) -> T:
    """Return the object that a name in a spec stands for.

    Built-ins win over entry points, so that installing a package cannot change what a spec means.
    What comes from outside is taken at its word: that it has type `T` is for the caller to find
    out by calling it.

    Args:
        name: what the spec says.
        builtins: Rheostat's own objects by name.
        entry_points: the entry-point group that others extend, e.g. `rheostat.schedules`.

    Raises:
        ValueError: if there is no such name, module or attribute, or its import fails; the text
            says which, and what there is.
    """
    return locate(name, builtins=builtins, entry_points=entry_points)()


def locate(name: str, *, builtins: Mapping[str, T], entry_points: str) -> Callable[[], T]:
    """Return what `resolve` would call, without importing anybody else's code.

    Raises:
        ValueError: if the name is neither known nor of the form `package.module:attribute`.
    """
    if name in builtins:
        found = builtins[name]
        return lambda: found
    installed = {point.name: point for point in metadata.entry_points(group=entry_points)}
    if name in installed:
        point = installed[name]
        return lambda: cast(T, _loaded(name, point.load))
    module, colon, attribute = name.partition(":")
    if not colon:
        known = did_you_mean(name, {*builtins, *installed})
        raise ValueError(f"unknown name, {known}; or package.module:attribute")
    if not all(part.isidentifier() for part in (*module.split("."), *attribute.split("."))):
        raise ValueError("a name from elsewhere is written package.module:attribute")
    return lambda: cast(T, _loaded(name, lambda: _attribute(module, attribute)))


def _attribute(module: str, path: str) -> Any:
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise ValueError(f"no {part!r} there, {did_you_mean(part, _public(found))}") from None
    return found


def _public(found: Any) -> list[str]:
    return [name for name in vars(found) if not name.startswith("_")]


def _loaded(name: str, load: Callable[[], Any]) -> Any:
    """Call a loader that runs other people's code, where anything may go wrong."""
    try:
        return load()
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"cannot be imported: {type(error).__name__}: {error}") from error
