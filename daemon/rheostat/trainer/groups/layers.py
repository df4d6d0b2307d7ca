"""Which layer of the model a parameter is in, by its name."""

import re
from collections.abc import Iterable

from rheostat.errors import InvalidSpec, Violation
from rheostat.spec.groups import Layered

COMMON = r"(?:^|[._])(?:layers?|blocks?|stages?|features|h)[._]?(\d+)\."
"""The first number after a word that models count their layers with."""
BEFORE_THE_FIRST = (-1,)

Position = tuple[int, ...]
"""The numbers that place a layer, in ascending order from stem to tail."""


def find_positions(names: Iterable[str], how: Layered, path: str) -> dict[str, Position]:
    """Return the position of every parameter that is in a layer, the stem or the tail.

    The tail has the position of the last layer.

    Args:
        names: of all parameters of the model, trainable or not.
        how: the expressions to look with.
        path: where they stand in the spec, for errors.

    Raises:
        InvalidSpec: if no layer is found, if what is captured is no number, or if the common
            expression counts several stacks of layers at once.
    """
    names = list(names)
    numbered = _numbered(names, how, path)
    stem, tail = re.compile(how.stem), re.compile(how.tail)
    last = max(numbered.values())
    positions: dict[str, Position] = {}
    for name in names:
        if name in numbered:
            positions[name] = numbered[name]
        elif stem.search(name):
            positions[name] = BEFORE_THE_FIRST
        elif tail.search(name):
            positions[name] = last
    return positions


def _numbered(names: list[str], how: Layered, path: str) -> dict[str, Position]:
    pattern = re.compile(how.layers or COMMON)
    found = {name: match for name in names if (match := pattern.search(name))}
    if not found:
        some = ", ".join(names[:8])
        expected = f"an expression that finds a layer's number in names like {some}"
        raise _refusal(path, how, expected)
    if how.layers is None:
        stacks = sorted({name[: match.start(1)] for name, match in found.items()})
        if len(stacks) > 1:
            expected = f"an expression for one stack of layers; there are {', '.join(stacks)}"
            raise _refusal(path, how, expected)
    try:
        return {
            name: tuple(int(number) for number in match.groups() if number is not None)
            for name, match in found.items()
        }
    except ValueError as error:
        raise _refusal(path, how, f"an expression that captures numbers only ({error})") from None


def _refusal(path: str, how: Layered, expected: str) -> InvalidSpec:
    return InvalidSpec([Violation(f"{path}.layers", how.layers or "", expected)])
