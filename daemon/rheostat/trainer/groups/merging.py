"""Groups that ended up equal become one: many small groups cripple foreach and fused kernels."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rheostat.trainer.groups.records import ParamGroup, Place, Terms

MAX_NAME_LENGTH = 63


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """The parameters of one place that the same presets changed."""

    place: Place
    suffix: str
    """What the presets add to the place's name; empty where none changed it."""
    group: ParamGroup


def merge(pieces: Sequence[Piece]) -> tuple[ParamGroup, ...]:
    """Return the groups, one for all pieces on equal terms, in the order of the first of each.

    A place of which nothing is said is merged with no other: somebody named it to steer it.
    """
    merged: list[tuple[tuple[Terms, str | None], list[Piece]]] = []
    for piece in pieces:
        kind = (piece.group.terms, piece.place.name if piece.place.is_bare else None)
        twins = next((twins for other, twins in merged if other == kind), None)
        if twins is None:
            merged.append((kind, [piece]))
        else:
            twins.append(piece)
    return tuple(_one_group(twins) for _, twins in merged)


def _one_group(twins: Sequence[Piece]) -> ParamGroup:
    return ParamGroup(
        name=_common_name(twins),
        parameters=tuple(named for piece in twins for named in piece.group.parameters),
        terms=twins[0].group.terms,
    )


def _common_name(twins: Sequence[Piece]) -> str:
    """Join names by `-`, and successive numbers to a range: `layer_0-5.no_decay`."""
    if len({piece.suffix for piece in twins}) == 1:
        names, suffix = [piece.place.name for piece in twins], twins[0].suffix
    else:
        names, suffix = [piece.group.name for piece in twins], ""
    name = _range(names) or "-".join(names)
    if len(name) + len(suffix) > MAX_NAME_LENGTH:
        name = f"{names[0]}-{names[-1]}"
    return name + suffix


def _range(names: Sequence[str]) -> str | None:
    """Return `layer_0-2` for layer_0, layer_1, layer_2; None where it is no such series."""
    matches = [re.fullmatch(r"(.*\D)(\d+)", name) for name in names]
    numbered = [(match[1], int(match[2])) for match in matches if match is not None]
    first = numbered[0] if numbered else ("", 0)
    series = [(first[0], first[1] + index) for index in range(len(names))]
    if len(names) < 2 or numbered != series:
        return None
    return f"{names[0]}-{numbered[-1][1]}"
